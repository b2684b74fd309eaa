"""The two kinds of streamed answers. Pure."""

from typing import Any

from responses_api import sse, wire
from responses_api.convert.answer import Answer, status_of
from responses_api.convert.gathering import Gathering, decode
from responses_api.convert.life import Event
from responses_api.convert.resource import Stamp
from responses_api.convert.translator import StreamTranslator
from responses_api.errors import BadAnswerError, EngineError, GatewayError


class ChunkReader:
    """The half that both kinds share: it reads the engine's events, and knows whether they end as they should."""

    def __init__(self, gathering: Gathering) -> None:
        self.error: EngineError | None = None
        self.is_done = False
        self.gathering = gathering
        self._decoder = sse.Decoder()

    @property
    def said_all(self) -> bool:
        """Whether the engine ended its answer."""
        return self.is_done or bool(self.gathering.finish_reason)

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent now."""
        sent: list[bytes] = []
        try:
            for event in self._decoder.feed(data):
                if self.is_done:
                    break
                if not event.is_done:
                    sent.append(self._take(event.data))
                    continue
                if not self.gathering.begun:
                    raise BadAnswerError("The engine's answer has no choices.")
                self.is_done = True
        except EngineError as error:
            self.error = error
        return b"".join(sent)

    def _take(self, data: bytes) -> bytes:
        """Return what a chunk becomes. Raises EngineError."""
        raise NotImplementedError


class ResponsesStream(ChunkReader):
    """A chat completion as the events of the Responses API."""

    def __init__(self, head: dict[str, Any], stamp: Stamp, *, split_thoughts: bool) -> None:
        self._translator = StreamTranslator(head, stamp, split_thoughts=split_thoughts)
        super().__init__(self._translator.gathering)
        self._split_thoughts = split_thoughts
        self._closing: list[Event] = []

    def _take(self, data: bytes) -> bytes:
        return _frames(self._translator.feed(decode(data)))

    def still_going(self) -> bytes:
        """Return an event that changes nothing: clients that count idle seconds take no comment for an event."""
        return _frames(self._translator.still_going())

    def finish(self, completed_at: int) -> Answer:
        """Return the last events of an answer that the engine has ended."""
        events = self._translator.finish(completed_at)
        self._closing = events[:-1]
        said = self.gathering.generation(split_thoughts=self._split_thoughts)
        return Answer(_frames(events) + sse.DONE_FRAME, events[-1]["response"]["status"], said)

    def fail(self, error: GatewayError) -> bytes:
        """Return the last events of an answer that failed, or those in the place of `finish`'s."""
        events = [*self._closing, *self._translator.fail(error.message)]
        self._closing = events[:-1]
        return _frames(events) + sse.DONE_FRAME

    def empty(self) -> bytes:
        """Return the whole stream of the empty answer to a prompt that does not fit."""
        return _frames(self._translator.overflow()) + sse.DONE_FRAME


class ChatStream(ChunkReader):
    """A chat completion passed through, chunk by chunk, under the gateway's id and the profile's name.

    Reasoning stays in its own field, unlike in an answer that is not streamed: tags that open and close around deltas
    would reach clients as text before they can be understood. The chunks that end the answer wait for `finish`.
    """

    def __init__(self, model: str, stamp: Stamp, *, split_thoughts: bool, wants_usage: bool) -> None:
        super().__init__(Gathering(stamp.new_id))
        self._model = model
        self._id = stamp.response_id
        self._split_thoughts = split_thoughts
        self._wants_usage = wants_usage
        self._held = b""

    def _take(self, data: bytes) -> bytes:
        chunk = decode(data)
        self.gathering.add(chunk)
        body = wire.json_object(data)
        body["id"], body["model"] = self._id, self._model
        if not self._wants_usage:
            body.pop("usage", None)
            if not chunk.choices:
                return b""
        frame = sse.nameless(wire.encode(body))
        if not chunk.choices or any(choice.finish_reason for choice in chunk.choices):
            self._held += frame
            return b""
        held, self._held = self._held, b""
        return held + frame

    def still_going(self) -> bytes:
        """Return a comment: chat completions have no event that says nothing."""
        return b": still going\n\n"

    def finish(self, completed_at: int) -> Answer:  # noqa: ARG002  (the engine's chunks carry their time)
        """Return the chunks that end the answer."""
        said = self.gathering.generation(split_thoughts=self._split_thoughts)
        return Answer(self._held + sse.DONE_FRAME, status_of(said.finish_reason), said)

    def fail(self, error: GatewayError) -> bytes:
        """Return the error as vLLM streams it."""
        return sse.nameless(wire.encode(error.body())) + sse.DONE_FRAME


def _frames(events: list[Event]) -> bytes:
    return b"".join([sse.frame(event["type"], wire.encode(event)) for event in events])
