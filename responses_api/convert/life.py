"""The life of streamed items: each is added, grows by deltas, and is done, once. Pure.

An item numbers and writes its own events through the envelope that it was given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from responses_api.convert import resource
from responses_api.convert.gathering import GrowingCall
from responses_api.convert.generation import Call

Event = dict[str, Any]


class Envelope:
    """Gives events their sequence numbers, from 0, and keeps them until they are taken."""

    def __init__(self) -> None:
        self._next = 0
        self._made: list[Event] = []

    def add(self, kind: str, **fields: Any) -> None:
        """Make the next event."""
        self._made.append({"type": f"response.{kind}", "sequence_number": self._next, **fields})
        self._next += 1

    def take(self) -> list[Event]:
        """Return the events that were not taken yet."""
        made, self._made = self._made, []
        return made

    def reuse_last_number(self) -> None:
        """Forget the last event: it was taken and never sent."""
        self._next -= 1


class Item(Protocol):
    """An output item that was added."""

    index: int

    def close(self, status: str) -> None:
        """Write what ends the item. Closing it again does nothing."""
        ...

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource, once it is closed."""
        ...


@dataclass(frozen=True, slots=True)
class PartKind:
    """How a kind of part is written: `holder` in the events that begin and end it, `name` in those of its text."""

    holder: str
    name: str
    position: str
    field: str
    write: Callable[[str], dict[str, Any]]
    more: tuple[tuple[str, Any], ...] = ()  # further fields of the text's events


TEXT = PartKind("content_part", "output_text", "content_index", "text", resource.text_part, more=(("logprobs", []),))
REFUSAL = PartKind("content_part", "refusal", "content_index", "refusal", resource.refusal_part)
THOUGHT = PartKind("reasoning_summary_part", "reasoning_summary_text", "summary_index", "text", resource.thought_part)


class PartedItem:
    """A message or a reasoning item: parts, one after another."""

    def __init__(
        self,
        envelope: Envelope,
        index: int,
        item_id: str,
        write: Callable[[str, list[dict[str, Any]], str], dict[str, Any]],
    ) -> None:
        self.index = index
        self._envelope = envelope
        self._id = item_id
        self._write = write
        self._parts: list[dict[str, Any]] = []
        self._part: PartKind | None = None
        self._place: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._closed: dict[str, Any] | None = None
        envelope.add("output_item.added", output_index=index, item=write(item_id, [], "in_progress"))

    def say(self, kind: PartKind, text: str) -> None:
        """Add to the open part; begin one if there is none of the kind."""
        if self._part is not kind:
            self.begin(kind)
        if text:
            self._pieces.append(text)
            self._envelope.add(f"{kind.name}.delta", **self._place, delta=text, **dict(kind.more))

    def begin(self, kind: PartKind) -> None:
        """Begin a part; the one that is open is done."""
        self._end_part()
        self._part = kind
        self._place = {"item_id": self._id, "output_index": self.index, kind.position: len(self._parts)}
        self._envelope.add(f"{kind.holder}.added", **self._place, part=kind.write(""))

    def _end_part(self) -> None:
        kind, self._part = self._part, None
        if kind is not None:
            text = "".join(self._pieces)
            part = kind.write(text)
            self._pieces = []
            self._parts.append(part)
            self._envelope.add(f"{kind.name}.done", **self._place, **{kind.field: text}, **dict(kind.more))
            self._envelope.add(f"{kind.holder}.done", **self._place, part=part)

    def close(self, status: str) -> None:
        """Write what ends the item. Closing it again does nothing."""
        if self._closed is None:
            self._end_part()
            self._closed = self._write(self._id, self._parts, status)
            self._envelope.add("output_item.done", output_index=self.index, item=self._closed)

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource, once it is closed."""
        return self._closed or self._write(self._id, self._parts, "in_progress")


class CallItem:
    """A function call: its arguments, as they come."""

    def __init__(self, envelope: Envelope, index: int, item_id: str, call: GrowingCall) -> None:
        self.index = index
        self._envelope = envelope
        self._id = item_id
        self._call = call
        self._place = {"item_id": item_id, "output_index": index}
        self._closed: dict[str, Any] | None = None
        begun = resource.call_item(item_id, Call(call.call_id, call.name, ""), "in_progress")
        envelope.add("output_item.added", output_index=index, item=begun)

    def say(self, arguments: str) -> None:
        """Add to the arguments."""
        if arguments:
            self._envelope.add("function_call_arguments.delta", **self._place, delta=arguments)

    def close(self, status: str) -> None:
        """Write what ends the item. Closing it again does nothing."""
        if self._closed is None:
            call = self._call.call()
            if not self._call.pieces:
                self.say(call.arguments)
            self._closed = resource.call_item(self._id, call, status)
            self._envelope.add("function_call_arguments.done", **self._place, name=call.name, arguments=call.arguments)
            self._envelope.add("output_item.done", output_index=self.index, item=self._closed)

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource, once it is closed."""
        return self._closed or resource.call_item(self._id, self._call.call(), "in_progress")
