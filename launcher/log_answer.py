"""The log of an attempt as an answer over HTTP: whole, searched, followed or as a file."""

from collections.abc import Mapping

from django.http import HttpResponse, StreamingHttpResponse

from launcher import logs, ray_cluster
from launcher.models import Engine

PLAIN_TEXT = "text/plain; charset=utf-8"
YES = {"1", "true"}


class NoSuchAttemptError(Exception):
    """The engine had no such launch; the message says which it had."""


def log_answer(query: Mapping[str, str], engine: Engine) -> StreamingHttpResponse | HttpResponse:
    """Return the log that a query string asks for.

    Raises:
        NoSuchAttemptError: if there is no such attempt.
    """
    asked = query.get("attempt") or str(engine.generation)
    if not asked.isdecimal() or len(asked) > logs.MAX_DIGITS or not 0 < int(asked) <= engine.generation:
        told = f"There are launches 1 to {engine.generation}." if engine.generation else "It was never launched."
        raise NoSuchAttemptError(told)
    reader, search = logs.reader(engine, int(asked), ray_cluster.from_settings()), query.get("search", "")
    answer: StreamingHttpResponse | HttpResponse
    if query.get("follow", "") in YES:
        cursor = logs.Cursor(reader)
        followed = logs.follow(lambda last: cursor.more(last=last), reader.running, search)
        answer = StreamingHttpResponse(followed, content_type=PLAIN_TEXT)
        answer["Cache-Control"] = "no-cache"
    else:
        answer = HttpResponse(logs.matching(reader.read(), search), content_type=PLAIN_TEXT)
    if query.get("download", "") in YES:
        answer["Content-Disposition"] = f'attachment; filename="{engine.name}-{asked}.log"'
    return answer
