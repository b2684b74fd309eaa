"""The life of streamed items: each is added, grows by deltas, and is done, once. Pure.

An item numbers and writes its own events through the envelope that it was given.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from responses_api.convert import custom, resource
from responses_api.convert.generation import Call
from responses_api.convert.growing import GrowingCall
from responses_api.convert.logprobs import Entry
from responses_api.convert.tools import Restored

Event = dict[str, Any]

NOTHING: Mapping[str, Any] = MappingProxyType({})


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

    def close(self, status: str, more: Mapping[str, Any] = NOTHING) -> None:
        """Write what ends the item; `more` are further fields of it. Closing it again does nothing."""
        ...

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource, once it is closed."""
        ...


@dataclass(frozen=True, slots=True)
class PartKind:
    """How a kind of part is written: it stands in the item's `shelf`, `holder` is in the events that begin and end it,
    `name` in those of its text.
    """

    shelf: str
    holder: str
    name: str
    position: str
    field: str
    write: Callable[[str], dict[str, Any]]
    has_logprobs: bool = False


TEXT = PartKind(
    "content", "content_part", "output_text", "content_index", "text", resource.text_part, has_logprobs=True
)
REFUSAL = PartKind("content", "content_part", "refusal", "content_index", "refusal", resource.refusal_part)
SUMMARY = PartKind(
    "summary", "reasoning_summary_part", "reasoning_summary_text", "summary_index", "text", resource.thought_part
)
THOUGHT = PartKind("content", "content_part", "reasoning_text", "content_index", "text", resource.reasoning_part)

# What is said at once, in as many parts as show it.
SPEECH, REFUSING = (TEXT,), (REFUSAL,)
THINKING: Mapping[str, tuple[PartKind, ...]] = {
    "summary": (SUMMARY,),
    "content": (THOUGHT,),
    "both": (SUMMARY, THOUGHT),
}


class Part:
    """A part that is open. Its text has log-probabilities if `logprobs` is a list, even an empty one."""

    def __init__(self, envelope: Envelope, kind: PartKind, place: dict[str, Any], logprobs: list[Entry] | None) -> None:
        self._envelope = envelope
        self._kind = kind
        self._place = place
        self._pieces: list[str] = []
        self._logprobs = logprobs if kind.has_logprobs else None
        self._delta = f"{kind.name}.delta"
        self._more: dict[str, Any] = {"logprobs": []} if kind.has_logprobs else {}
        envelope.add(f"{kind.holder}.added", **place, part=self._written(""))

    def say(self, text: str, logprobs: list[Entry] | None) -> None:
        """Add to it."""
        self._pieces.append(text)
        if logprobs and self._logprobs is not None:
            self._logprobs += logprobs
            self._envelope.add(self._delta, **self._place, delta=text, logprobs=logprobs)
        else:
            self._envelope.add(self._delta, **self._place, delta=text, **self._more)

    def end(self) -> dict[str, Any]:
        """Write what ends it, and return it."""
        kind, text = self._kind, "".join(self._pieces)
        part = self._written(text)
        more = {"logprobs": part.get("logprobs", [])} if kind.has_logprobs else {}
        self._envelope.add(f"{kind.name}.done", **self._place, **{kind.field: text}, **more)
        self._envelope.add(f"{kind.holder}.done", **self._place, part=part)
        return part

    def _written(self, text: str) -> dict[str, Any]:
        part = self._kind.write(text)
        if self._logprobs is not None:
            part["logprobs"] = [*self._logprobs]
        return part


class PartedItem:
    """A message or a reasoning item: parts, one after another. `write` makes it of its id, its parts and its status."""

    def __init__(
        self,
        envelope: Envelope,
        index: int,
        item_id: str,
        write: Callable[[str, resource.Shelves, str], dict[str, Any]],
        shelves: Iterable[str],
    ) -> None:
        self.index = index
        self._envelope = envelope
        self._id = item_id
        self._write = write
        self._shelves: resource.Shelves = {shelf: [] for shelf in shelves}
        self._kinds: tuple[PartKind, ...] = ()
        self._open: list[Part] = []
        self._closed: dict[str, Any] | None = None
        envelope.add("output_item.added", output_index=index, item=write(item_id, self._copied(), "in_progress"))

    def say(self, kinds: tuple[PartKind, ...], text: str, logprobs: list[Entry] | None = None) -> None:
        """Add to the open parts; begin them if they are not of these kinds."""
        if self._kinds is not kinds:
            self.begin(kinds, logprobs)
        if text:
            for part in self._open:
                part.say(text, logprobs)

    def begin(self, kinds: tuple[PartKind, ...], logprobs: list[Entry] | None = None) -> None:
        """Begin a part of each kind; those that are open are done."""
        self._end_parts()
        self._kinds = kinds
        for kind in kinds:
            place = {
                "item_id": self._id,
                "output_index": self.index,
                kind.position: len(self._shelves[kind.shelf]),
            }
            self._open.append(Part(self._envelope, kind, place, None if logprobs is None else []))

    def _end_parts(self) -> None:
        for kind, part in zip(self._kinds, self._open, strict=True):
            self._shelves[kind.shelf].append(part.end())
        self._kinds, self._open = (), []

    def close(self, status: str, more: Mapping[str, Any] = NOTHING) -> None:
        """Write what ends the item; `more` are further fields of it. Closing it again does nothing."""
        if self._closed is None:
            self._end_parts()
            self._closed = {**self._write(self._id, self._shelves, status), **more}
            self._envelope.add("output_item.done", output_index=self.index, item=self._closed)

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource, once it is closed."""
        return self._closed or self._write(self._id, self._copied(), "in_progress")

    def _copied(self) -> resource.Shelves:
        return {shelf: [*parts] for shelf, parts in self._shelves.items()}


class WholeItem:
    """An item that came whole."""

    def __init__(self, envelope: Envelope, index: int, item: dict[str, Any]) -> None:
        self.index = index
        self._item = item
        envelope.add("output_item.added", output_index=index, item={**item, "status": "in_progress"})
        envelope.add("output_item.done", output_index=index, item=item)

    def close(self, status: str, more: Mapping[str, Any] = NOTHING) -> None:
        """Do nothing: it has ended as its engine says."""

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource."""
        return self._item


class CallItem:
    """A call of a tool: its arguments, or the input of a custom tool, as they come."""

    def __init__(self, envelope: Envelope, index: int, item_id: str, call: GrowingCall, tool: Restored) -> None:
        self.index = index
        self._envelope = envelope
        self._id = item_id
        self._call = call
        self._tool = tool
        self._reader = custom.InputReader() if tool.is_custom else None
        self._kind = "custom_tool_call_input" if tool.is_custom else "function_call_arguments"
        self._place = {"item_id": item_id, "output_index": index}
        self._closed: dict[str, Any] | None = None
        self._told = 0  # pieces of the arguments
        begun = resource.call_item(item_id, Call(call.call_id, call.name or "", ""), tool, "in_progress")
        envelope.add("output_item.added", output_index=index, item=begun)

    def grow(self) -> None:
        """Tell the arguments that were not told yet. One chunk may hold several pieces of a call."""
        self._tell("".join(self._call.pieces[self._told :]))
        self._told = len(self._call.pieces)

    def _tell(self, arguments: str) -> None:
        self._delta(arguments if self._reader is None else self._reader.feed(arguments))

    def _delta(self, text: str) -> None:
        if text:
            self._envelope.add(f"{self._kind}.delta", **self._place, delta=text)

    def close(self, status: str, more: Mapping[str, Any] = NOTHING) -> None:
        """Write what ends the item; `more` are further fields of it. Closing it again does nothing."""
        if self._closed is None:
            call = self._call.call()
            if not self._call.pieces:
                self._tell(call.arguments)
            if self._reader is not None:
                self._delta(self._reader.rest())
            item = self._closed = {**resource.call_item(self._id, call, self._tool, status), **more}
            told = ("input",) if self._tool.is_custom else ("name", "arguments")
            self._envelope.add(f"{self._kind}.done", **self._place, **{name: item[name] for name in told})
            self._envelope.add("output_item.done", output_index=self.index, item=item)

    def body(self) -> dict[str, Any]:
        """Return the item as it stands in the resource, once it is closed."""
        return self._closed or resource.call_item(self._id, self._call.call(), self._tool, "in_progress")
