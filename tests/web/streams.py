"""Streams as a client reads them."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.contract.life import read_chunks, read_events
from tests.web.gateway_server import Site


@dataclass
class Streamed:
    """A whole streamed answer."""

    headers: httpx.Headers
    events: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        """The resource of the terminal event."""
        resource: dict[str, Any] = self.events[-1]["response"]
        return resource

    @property
    def deltas(self) -> list[str]:
        """The pieces of text."""
        return [event["delta"] for event in self.events if event["type"] == "response.output_text.delta"]


def ask(site: Site, given: Any = "hi", /, **request: Any) -> Streamed:
    """Ask `tiny` for a stream of /v1/responses, and return it."""
    response = site.ask(given, stream=True, **request)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream"), response.text
    return Streamed(response.headers, read_events(response.content))


def ask_chat(site: Site, **request: Any) -> list[dict[str, Any]]:
    """Ask `tiny` for a streamed chat completion, and return its chunks."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi there"}], "stream": True, **request}
    with site.client() as client:
        response = client.post("/chat/completions", json=body)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream"), response.text
    return read_chunks(response.content)
