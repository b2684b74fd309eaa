"""Every answer of the gateway that a test receives is held against the contract, whatever the test asks of it."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.contract import messages
from tests.contract.life import check_end, check_stream, read_chunks, read_events
from tests.contract.schemas import check_compaction, check_error, check_response

OK = 200


class CheckedClient(httpx.Client):
    """A client that checks what it is answered. What is read piece by piece (`client.stream`) is the test's own."""

    def request(self, *args: Any, **kwargs: Any) -> httpx.Response:
        """Return the answer, which keeps the contract."""
        response = super().request(*args, **kwargs)
        check_answer(response)
        return response


def check_answer(response: httpx.Response) -> None:
    """Check an answer of a path below /v1: an error, a stream, or a body of a kind that the contract knows."""
    path = response.url.path
    if response.request.method == "HEAD":
        assert not response.content
    elif response.status_code >= 400:
        (messages.check_error if path.startswith("/v1/messages") else check_error)(response.json())
    elif response.headers["content-type"] == "text/event-stream":
        if path.endswith("/completions"):
            read_chunks(response.content)
        elif path == "/v1/messages":
            messages.read_messages(response.content)
        else:
            check_stream(read_events(response.content))
    elif response.status_code == OK:
        body = response.json()
        kind = "response" if response.url.path.endswith("/v1/responses") else str(body.get("object"))
        if body.get("deleted"):  # it names what is gone
            return
        BODIES.get(kind, _other)(body)


def _response(body: dict[str, Any]) -> None:
    check_response(body)
    if body["status"] not in {"queued", "in_progress", "cancelled"}:
        check_end(body, body["status"])


def _other(_body: dict[str, Any]) -> None:
    """Bodies that are not in the contract: models, chat completions."""


BODIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "response": _response,
    "response.compaction": check_compaction,
}
