"""The pieces of an answer while they come. Pure."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert.generation import Call, Kind, Said
from responses_api.convert.logprobs import Entry


@dataclass(slots=True, eq=False)
class GrowingCall:
    """A tool call so far. It is known once it has a name; arguments that come before that wait here."""

    call_id: str
    engine_id: str | None = None
    index: int | None = None
    name: str | None = None
    pieces: list[str] = field(default_factory=list)
    is_forbidden: bool = False  # by the request
    is_closed: bool = False  # it was complete when the next one began

    def call(self) -> Call:
        """Return the call. One that was sent no arguments, not even empty ones, has an empty object."""
        return Call(self.call_id, self.name or "", "".join(self.pieces) if self.pieces else "{}")

    def is_meant(self, sent: wire.ToolCall) -> bool:
        """Whether a piece belongs to this call. Some servers number all their calls 0 and tell them apart by id."""
        if sent.id and self.engine_id and sent.id != self.engine_id:
            return False
        return sent.index is None or self.index is None or sent.index == self.index

    def is_followed_by(self, sent: wire.ToolCall) -> bool:
        """Whether a piece that seems to belong to this call begins another: some servers send calls whole, and neither
        number nor name them. What has an object for its arguments takes no more of them.
        """
        given = sent.function
        if (sent.id and self.engine_id) or given is None or not given.name or given.arguments in (None, ""):
            return False
        return self._is_complete()

    def close_if_complete(self) -> None:
        """Close it if its arguments are a whole object: nothing that could follow would belong to it. Engines that send
        the arguments of parallel calls in turns leave them open longer.
        """
        self.is_closed = self._is_complete()

    def _is_complete(self) -> bool:
        try:
            return isinstance(msgspec.json.decode("".join(self.pieces)), dict)
        except (ValueError, RecursionError):
            return False


@dataclass(slots=True)
class Growing:
    """A piece of the answer so far."""

    kind: Kind
    pieces: list[str] = field(default_factory=list)
    is_tagged: bool = False  # a thought, in the text
    call: GrowingCall | None = None
    item: dict[str, Any] | None = None
    logprobs: list[Entry] | None = None

    def said(self) -> Said:
        """Return what it has become."""
        call = self.call.call() if self.call is not None else None
        return Said(self.kind, "".join(self.pieces), call, self.item, self.logprobs)
