"""Chunks of a streamed chat completion in, events of the Responses API out. Pure: no clock, no ids of its own.

Items stand in the order in which they began. Reasoning and messages follow each other: what begins ends the one before.
Function calls stay open to the end, because engines may send the arguments of parallel calls in turns. For an answer
that thinks, then speaks, then calls, this is the order of an answer that is not streamed.
"""

from typing import Any

from responses_api import wire
from responses_api.convert import life, resource, think
from responses_api.convert.gathering import Gathering, GrowingCall, Heard, Kind
from responses_api.convert.life import CallItem, Envelope, Event, Item, PartedItem, PartKind
from responses_api.convert.resource import INCOMPLETE, Stamp


class StreamTranslator:
    """One answer. `feed` and `still_going` as often as needed, then `finish` or `fail`; each returns the next events.

    The first events are `response.created` and `response.in_progress`, the last one is `response.completed`,
    `.incomplete` or `.failed` and holds the whole resource.
    """

    def __init__(self, head: dict[str, Any], stamp: Stamp, *, split_thoughts: bool) -> None:
        """`head` is the resource without what depends on the generation; `split_thoughts` takes `<think>` from text."""
        self.gathering = Gathering(stamp.new_id)
        self._head = head
        self._new_id = stamp.new_id
        self._envelope = Envelope()
        self._splitter = think.Splitter() if split_thoughts else None
        self._items: list[Item] = []
        self._reasoning: PartedItem | None = None  # of these two, one at most is open
        self._message: PartedItem | None = None
        self._calls: dict[GrowingCall, CallItem] = {}
        self._thought_is_tagged = False
        self._ended = False
        self._in_progress("created")
        self._in_progress("in_progress")

    def _in_progress(self, kind: str) -> None:
        self._envelope.add(kind, response={**self._head, **resource.begun()})

    def still_going(self) -> list[Event]:
        """Return an event that changes nothing, for clients that count the seconds without one."""
        self._in_progress("in_progress")
        return self._envelope.take()

    def feed(self, chunk: wire.ChatChunk) -> list[Event]:
        """Return the events of a chunk."""
        for heard in self.gathering.add(chunk):
            if heard.kind is Kind.TEXT and self._splitter is not None:
                self._say_pieces(self._splitter.feed(heard.text))
            else:
                self._flush()
                self._hear(heard)
        return self._envelope.take()

    def _hear(self, heard: Heard) -> None:
        if heard.call is not None:
            self._call(heard.call, heard.text)
        elif heard.kind is Kind.THOUGHT:
            self._think(heard.text, tagged=False)
        else:
            self._speak(life.REFUSAL if heard.kind is Kind.REFUSAL else life.TEXT, heard.text)

    def _flush(self) -> None:
        if self._splitter is not None:
            self._say_pieces(self._splitter.flush())

    def _say_pieces(self, pieces: list[think.Piece]) -> None:
        for piece in pieces:
            if piece.kind is think.Kind.TEXT:
                self._speak(life.TEXT, piece.text)
            else:
                self._think(piece.text, tagged=True, anew=piece.kind is think.Kind.NEW_THOUGHT)

    def _think(self, text: str, *, tagged: bool, anew: bool = False) -> None:
        """Add to a thought. The engine's own and each tagged one are parts of one reasoning item."""
        self._end_message()
        if self._reasoning is None:
            self._reasoning = self._parted("rs", resource.reasoning_item)
            anew = True
        if anew or tagged is not self._thought_is_tagged:
            self._reasoning.begin(life.THOUGHT)
        self._thought_is_tagged = tagged
        self._reasoning.say(life.THOUGHT, text)

    def _speak(self, kind: PartKind, text: str) -> None:
        self._end_reasoning()
        if self._message is None:
            self._message = self._parted("msg", resource.message_item)
        self._message.say(kind, text)

    def _call(self, call: GrowingCall, arguments: str) -> None:
        item = self._calls.get(call)
        if item is not None:
            item.say(arguments)
        elif call.name:
            self._begin_call(call)

    def _begin_call(self, call: GrowingCall) -> None:
        self._end_message()
        self._end_reasoning()
        item = self._calls[call] = CallItem(self._envelope, len(self._items), self._new_id("fc"), call)
        self._items.append(item)
        item.say("".join(call.pieces))

    def _parted(self, prefix: str, write: Any) -> PartedItem:
        item = PartedItem(self._envelope, len(self._items), self._new_id(prefix), write)
        self._items.append(item)
        return item

    def _end_message(self) -> None:
        if self._message is not None:
            self._message.close("completed")
            self._message = None

    def _end_reasoning(self) -> None:
        if self._reasoning is not None:
            self._reasoning.close("completed")
            self._reasoning = None

    def finish(self, completed_at: int) -> list[Event]:
        """Return the events that end the answer of an engine that has said all. `completed_at`: seconds since 1970."""
        self._flush()
        for call in self.gathering.calls:
            if call not in self._calls:
                self._begin_call(call)  # it never got a name; an answer that is not streamed has it too
        if not self._items:
            self._speak(life.TEXT, "")
        for item in self._items[:-1]:
            item.close("completed")
        reason = self.gathering.finish_reason
        self._items[-1].close("incomplete" if reason in INCOMPLETE else "completed")
        end = resource.ended(reason, self._output(), self.gathering.usage, completed_at)
        return self._end(end)

    def overflow(self) -> list[Event]:
        """Return all events of the empty answer to a prompt that does not fit, as `resource.emptied` has it."""
        self._speak(life.TEXT, "")
        self._end_message()
        return self._end(resource.ended("length", self._output(), None, None))

    def fail(self, message: str) -> list[Event]:
        """Close whatever is open and return the events that end the answer as failed, for the reason in `message`.

        After `finish` it returns the event that is sent in the place of the last one, which must not have left.
        """
        if self._ended:
            self._envelope.reuse_last_number()
        else:
            self._flush()
            for item in self._items:
                item.close("incomplete")
        return self._end(resource.broken(message, self._output(), self.gathering.usage))

    def _output(self) -> list[dict[str, Any]]:
        return [item.body() for item in self._items]

    def _end(self, end: dict[str, Any]) -> list[Event]:
        self._ended = True
        self._envelope.add(end["status"], response={**self._head, **end})
        return self._envelope.take()
