"""How the events of a streamed answer are put into bytes. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from responses_api import sse


@dataclass(frozen=True, slots=True)
class Framing:
    """`event` returns an event's bytes, given its name and its JSON; `done` says that nothing follows."""

    event: Callable[[str, bytes], bytes]
    done: bytes


def _line(_name: str, data: bytes) -> bytes:
    return data + b"\n"


SSE = Framing(sse.frame, sse.DONE_FRAME)
# For carriers of messages, which need no word at the end: each line, and JSON is one, becomes a message of its own.
LINES = Framing(_line, b"")
