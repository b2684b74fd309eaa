"""Chunks of a streamed chat completion in, events of the Responses API out. Pure: no clock, no ids of its own.

Items stand in the order in which they began, as in an answer that is not streamed. They follow each other: what begins
ends the one before, but for calls whose arguments are not complete, because engines may send those of parallel calls in
turns.
"""

from typing import Any

from responses_api import wire
from responses_api.convert import life, resource
from responses_api.convert.gathering import Gathering, Heard
from responses_api.convert.generation import Kind
from responses_api.convert.growing import GrowingCall
from responses_api.convert.life import CallItem, Envelope, Event, Item, PartedItem, PartKind, WholeItem
from responses_api.convert.logprobs import Entry
from responses_api.convert.manner import Manner
from responses_api.convert.resource import Stamp
from responses_api.errors import GatewayError


class StreamTranslator:
    """One answer. `feed` and `still_going` as often as needed, then `finish` or `fail`; each returns the next events.

    The first events are `response.created` and `response.in_progress`, the last one is `response.completed`,
    `.incomplete` or `.failed` and holds the whole resource.
    """

    def __init__(self, head: dict[str, Any], stamp: Stamp, manner: Manner) -> None:
        """`head` is the resource without what depends on the generation."""
        self.gathering = Gathering(manner, stamp.new_id)
        self._head = head
        self._manner = manner
        self._new_id = stamp.new_id
        self._envelope = Envelope()
        self._thinking = life.THINKING[manner.shown_as]
        self._items: list[Item] = []
        self._reasoning: PartedItem | None = None  # of these two, one at most is open
        self._message: PartedItem | None = None
        self._calls: dict[GrowingCall, CallItem] = {}
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
        self._hear(self.gathering.add(chunk))
        return self._envelope.take()

    def _hear(self, heard: list[Heard]) -> None:
        for piece in heard:
            if piece.kind is Kind.TEXT:
                self._speak(life.SPEECH, piece.text, piece.logprobs)
            elif piece.kind is Kind.THOUGHT:
                self._think(piece)
            elif piece.kind is Kind.REFUSAL:
                self._speak(life.REFUSING, piece.text)
            elif piece.call is not None:
                self._call(piece.call)
            elif piece.item is not None:
                self._show(piece.item)

    def _think(self, piece: Heard) -> None:
        """Add to a thought. Those that follow each other are parts of one reasoning item."""
        if self._reasoning is None:
            self._end_open()
            shelves = resource.SHELVES[self._manner.shown_as]
            self._reasoning = self._parted("rs", resource.reasoning_writer(self._manner.seal), shelves)
        if piece.is_new:
            self._reasoning.begin(self._thinking)
        self._reasoning.say(self._thinking, piece.text)

    def _speak(self, kinds: tuple[PartKind, ...], text: str, logprobs: list[Entry] | None = None) -> None:
        if self._message is None:
            self._end_open()
            self._message = self._parted("msg", resource.message_item, ("content",))
        self._message.say(kinds, text, logprobs)

    def _call(self, call: GrowingCall) -> None:
        item = self._calls.get(call)
        if item is not None:
            item.grow()
        elif call.name is not None:
            self._begin_call(call)

    def _begin_call(self, call: GrowingCall) -> None:
        self._end_open()
        tool = self._manner.toolbox.restore(call.name or "")
        item_id = self._new_id(resource.call_prefix(tool))
        item = self._calls[call] = CallItem(self._envelope, len(self._items), item_id, call, tool)
        self._items.append(item)
        item.grow()

    def _show(self, item: dict[str, Any]) -> None:
        self._end_open()
        shown = resource.other_item(item, self._new_id)
        self._items.append(WholeItem(self._envelope, len(self._items), shown))

    def _parted(self, prefix: str, write: Any, shelves: tuple[str, ...]) -> PartedItem:
        item = PartedItem(self._envelope, len(self._items), self._new_id(prefix), write, shelves)
        self._items.append(item)
        return item

    def _end_open(self) -> None:
        """End what something else follows."""
        for item in (self._message, self._reasoning):
            if item is not None:
                item.close("completed")
        self._message = self._reasoning = None
        for call, called in self._calls.items():
            if call.is_closed:
                called.close("completed")

    def finish(self, completed_at: int) -> list[Event]:
        """Return the events that end the answer of an engine that has said all. `completed_at`: seconds since 1970.

        Raises:
            BadAnswerError: if token ids are wanted, and not known for certain.
        """
        self._hear(self.gathering.end())
        more = self._token_ids()
        if not self._items:
            self._speak(life.SPEECH, "", [] if self._manner.wants_logprobs else None)
        for item in self._items[:-1]:
            item.close("completed")
        reason = self.gathering.finish_reason
        self._items[-1].close(resource.last_status(reason, self._manner), more)
        end = resource.ended(reason, self._manner, self._output(), self.gathering.usage, completed_at)
        return self._end(end)

    def _token_ids(self) -> dict[str, Any]:
        ids = self.gathering.token_ids
        return {} if ids is None else ids.fields(is_silent=not self.gathering.has_said)

    def empty(self, reason: str = "length") -> list[Event]:
        """Return the events that end an answer of which nothing was said as the empty one, to a prompt that does not
        fit, as `resource.emptied` has it.
        """
        self._speak(life.SPEECH, "")
        self._end_open()
        return self._end(resource.ended(reason, resource.PLAIN, self._output(), None, None))

    def fail(self, error: GatewayError) -> list[Event]:
        """Close whatever is open and return the events that end the answer as failed.

        After `finish` it returns the event that is sent in the place of the last one, which must not have left.
        """
        if self._ended:
            self._envelope.reuse_last_number()
        else:
            self._hear(self.gathering.flush())
            for item in self._items:
                item.close("incomplete")
        return self._end(resource.broken(error, self._output(), self.gathering.usage))

    def _output(self) -> list[dict[str, Any]]:
        return [item.body() for item in self._items]

    def _end(self, end: dict[str, Any]) -> list[Event]:
        self._ended = True
        self._envelope.add(end["status"], response={**self._head, **end})
        return self._envelope.take()
