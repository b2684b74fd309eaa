"""Server-sent events, both ways. Pure.

Read as the HTML standard says: any line end, comments, several `data` lines to an event, a byte order mark. Written as
the strictest reader needs it: LF, `event` and one `data` line, the blank line in the same bytes.
"""

from typing import NamedTuple

from msgspec import json

from responses_api.errors import BadAnswerError

DONE = b"[DONE]"
DONE_FRAME = b"data: [DONE]\n\n"
CONTENT_TYPE = "text/event-stream"

MAX_EVENT_BYTES = 16 * 2**20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event as it came: its name ("" if it has none) and its data, bytes of JSON or `[DONE]`."""

    name: str
    data: bytes

    @property
    def is_done(self) -> bool:
        """Whether it says that nothing follows."""
        return self.data.strip() == DONE


class Decoder:
    """Bytes in, events out, wherever the bytes are cut. What is left when the stream ends is no event."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._size = 0  # of the event that is being gathered, its unfinished line included
        self._begun = False
        self._after_cr = False  # an LF that comes next belongs to that line end
        self._unfinished: list[bytes] = []
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete.

        Raises:
            BadAnswerError: if an event is larger than the gateway reads.
        """
        if self._is_one_event(data):
            self._begun = True
            return [Event("", data[6:-2])]
        events: list[Event] = []
        for line in self._lines(data):
            if line:
                self._field(line)
            else:
                if self._data:
                    events.append(Event(self._name, b"\n".join(self._data)))
                self._name, self._data, self._size = "", [], 0
        if self._size > self._max_event_bytes:
            raise BadAnswerError(f"An event of the engine's answer is larger than {self._max_event_bytes} bytes.")
        return events

    def _is_one_event(self, data: bytes) -> bool:
        """Whether these bytes are an event of one `data` line, and belong to no other: so tokens come, one by one."""
        return (
            data.startswith(b"data: ")
            and data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n\n")
            and b"\r" not in data
            and not (self._unfinished or self._data or self._name or self._after_cr)
            and len(data) <= self._max_event_bytes
        )

    def _lines(self, data: bytes) -> list[bytes]:
        """Return the lines that these bytes complete, without their ends."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\n" not in data and b"\r" not in data:
            if data:
                self._unfinished.append(data)
                self._size += len(data)
            return []
        self._after_cr = data.endswith(b"\r")
        lines = b"".join((*self._unfinished, data)).splitlines(keepends=True)
        last = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        self._unfinished = [last] if last else []
        self._size = sum(map(len, self._data)) + len(last)
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return [line.rstrip(b"\r\n") for line in lines]

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")  # a comment's name is empty
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")


def frame(name: str, data: bytes) -> bytes:
    """Return an event as it is sent. `data` is JSON on one line."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def nameless(data: bytes) -> bytes:
    """Return an event without a name, as chat completions stream them."""
    return b"data: %b\n\n" % data


def refusal_at_start(data: bytes) -> tuple[int, bytes] | None:
    """Return the HTTP status and the body that a stream stands for whose first event is an error; None if it is none.

    Some versions of vLLM find out that a prompt does not fit when the stream has its status already.
    """
    if b'"error"' not in data:
        return None
    try:
        events = Decoder().feed(data)
        said = json.decode(events[0].data) if events else None
    except (ValueError, RecursionError, BadAnswerError):
        return None
    error = said.get("error") if isinstance(said, dict) and "choices" not in said else None
    if not error:
        return None
    code = error.get("code") if isinstance(error, dict) else None
    return (code if type(code) is int and 400 <= code < 600 else 500), events[0].data  # noqa: PLR2004
