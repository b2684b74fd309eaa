"""WebSockets as a client uses them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.contract.life import TERMINAL, check_stream
from tests.contract.schemas import check_envelope
from tests.web.gateway_server import Site

SECONDS = 30  # without a word, while the machine does other things


class Socket:
    """A connection to `/v1/responses`, whose every turn is held against the contract."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def say(self, given: Any = "hi", /, **request: Any) -> None:
        """Send one turn to `tiny`."""
        message = {"type": "response.create", "model": "tiny", "input": given, **request}
        self.connection.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        """Return the next message."""
        heard: dict[str, Any] = json.loads(self.connection.recv(SECONDS))
        return heard

    def turn(self) -> list[dict[str, Any]]:
        """Return all events of the turn that is answered next; of one that is refused, the envelope."""
        events = [self.hear()]
        if events[0]["type"] == "error":
            check_envelope(events[0])
            return events
        while events[-1]["type"] not in TERMINAL:
            events.append(self.hear())
        check_stream(events)
        return events

    def ask(self, given: Any = "hi", /, **request: Any) -> dict[str, Any]:
        """Send one turn, and return the response it ends with."""
        self.say(given, **request)
        resource: dict[str, Any] = self.turn()[-1]["response"]
        return resource

    def refused(self, given: Any = "hi", /, **request: Any) -> dict[str, Any]:
        """Send one turn, and return the envelope of its error."""
        self.say(given, **request)
        (envelope,) = self.turn()
        return envelope


@contextmanager
def socket(site: Site, *, compression: str | None = "deflate", **headers: str) -> Iterator[Socket]:
    """An open connection with the caller's key."""
    named = {"authorization": f"Bearer {site.key}", **{name.replace("_", "-"): text for name, text in headers.items()}}
    address = f"ws://127.0.0.1:{site.server.port}/v1/responses"
    with connect(address, additional_headers=named, compression=compression, max_size=None, proxy=None) as connection:
        yield Socket(connection)
