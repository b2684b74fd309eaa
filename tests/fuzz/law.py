"""What holds of every answer of the gateway, whatever was asked and whatever its engines did."""

import json
import os
import random
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httpx
from django.db.models import Max
from hypothesis import HealthCheck, settings

from responses_api.models import ResponseRecord
from tests.web.gateway_server import Site

SECONDS = 30  # for an answer, while the machine does other things
CASES = int(os.environ.get("ROUNDHOUSE_TEST_FUZZ_CASES", "0"))

# Within the suite every run is the same, and short. `make fuzz` sets the number, and looks elsewhere each time.
settings.register_profile(
    "fuzz",
    max_examples=CASES or 150,
    derandomize=not CASES,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
fuzz = settings.get_profile("fuzz")
# Where a case is a small story of several requests.
slow_fuzz = settings(fuzz, max_examples=CASES or 25)

PYTHON = re.compile(
    r"Traceback|<class |<\w+ object|object at 0x|\w+(?:Error|Exception)\("
    r"|\bNone\b|\bTrue\b|\bFalse\b|[\[{(]['\"]|(?:^|\s)b'"
)


class Law:
    """Asks the gateway of a site, and holds what it answers against the law."""

    def __init__(self, site: Site, client: httpx.Client) -> None:
        self.site = site
        self.client = client

    def hold(self, path: str, body: bytes, headers: Mapping[str, bytes] | None = None) -> httpx.Response:
        """Return the answer, which came in time and is lawful."""
        for engine in self.site.engines:
            engine.requests.clear()
        self.client.cookies.clear()
        random.seed()  # Hypothesis begins each case with the same numbers, of which the gateway would make the same ids
        last_row = ResponseRecord.objects.aggregate(Max("pk"))["pk__max"] or 0
        given = {b"content-type": b"application/json"}
        given |= {name.encode(): value for name, value in (headers or {}).items()}
        answer = self.client.post(path, content=body, headers=given, timeout=SECONDS)
        if answer.status_code >= 400:
            self.check_error(answer.status_code, answer.json()["error"], body)
        else:
            assert answer.status_code == 200, answer
        self._check_ledger(answer, last_row)
        return answer

    def look(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        """Return the answer to a request about what is stored, which came in time and is lawful."""
        for engine in self.site.engines:
            engine.requests.clear()
        answer = self.client.request(method, path, content=body, timeout=SECONDS)
        if method == "HEAD":
            assert answer.status_code < 500, answer
        elif answer.status_code >= 400:
            self.check_error(answer.status_code, answer.json()["error"], path.encode() + body, names_param=False)
        else:
            assert answer.status_code == 200, answer
        return answer

    def check_error(self, status: int, error: dict[str, Any], said: bytes, *, names_param: bool = True) -> None:
        """Hold an error against the law. `said` is what the caller sent, whose words may come back."""
        assert status < 500 or error["type"] == "upstream_error", error
        if any(engine.requests for engine in self.site.engines):
            return  # these are the engine's words, which are passed on as they are
        words_of_caller = unquote(said.decode("utf-8", "replace"))
        message = error["message"].replace(f"'{error['param']}'", "")
        found = [words for words in PYTHON.findall(message) if words not in words_of_caller]
        assert not found, f"Python speaks: {error['message']}"
        if names_param and status == 400 and _object(said) is not None and error["code"] != "invalid_json":
            assert error["param"] is not None, error

    def _check_ledger(self, answer: httpx.Response, last_row: int) -> None:
        """One row for each request whose profile was found. It has a session, unless what it says of itself is refused:
        what it continues is not there, its tools cannot be.
        """
        known = "x-session-id" in answer.headers or b'"X-Session-ID"' in answer.content
        rows = ResponseRecord.objects.filter(pk__gt=last_row)
        statuses = [*rows.values_list("http_status", flat=True)]
        assert statuses in ([answer.status_code], [])
        assert statuses or not known, answer.headers
        if not known:
            assert answer.status_code in {400, 401, 404}, answer
            assert not any(engine.requests for engine in self.site.engines), "An engine was asked for nobody."


def _object(body: bytes) -> dict[str, Any] | None:
    """Return the body's JSON object, None if it is something else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
