"""The two kinds of streamed answers. Pure."""

from typing import Any

from responses_api import sse, wire
from responses_api.convert import chat_answer, generation
from responses_api.convert.answer import Answer, Question, status_of
from responses_api.convert.dialects import CHAT, Dialect
from responses_api.convert.framing import SSE, Framing
from responses_api.convert.gathering import Gathering, decode, told
from responses_api.convert.life import Event
from responses_api.convert.manner import Manner
from responses_api.convert.resource import Stamp
from responses_api.convert.translator import StreamTranslator
from responses_api.errors import BadAnswerError, EngineError, GatewayError


class ChunkReader:
    """The half that both kinds share: it reads the engine's events, and knows whether they end as they should."""

    def __init__(self, gathering: Gathering, sent: dict[str, Any], dialect: Dialect) -> None:
        """`sent` is the engine's request, as a chat completion request; `dialect` what the engine speaks."""
        self.error: EngineError | None = None
        self.is_done = False
        self.gathering = gathering
        self._sent = sent
        self._dialect = dialect
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
                if not event.data:  # a heartbeat of some servers
                    continue
                if event.name == "error":
                    raise told(event.data)
                if not event.is_done:
                    sent.append(self._take(self._dialect.chunk(event.data)))
                    self.is_done = self._dialect.ended
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

    def empty(self) -> bytes:
        """Return what makes it the empty answer, to a prompt that does not fit, if nothing was said yet."""
        raise NotImplementedError

    def emptied(self) -> bytes | None:
        """Return the end that makes it the empty answer; None if something was said already."""
        return None if self.gathering.has_said else self.empty()

    def after(self) -> Question | None:
        """Return what must be asked before `finish`. Raises BadAnswerError."""
        ids = self.gathering.token_ids
        return None if ids is None else ids.question(self._dialect.of_prompt(self._sent))

    def hear(self, raw: bytes) -> None:
        """Take the answer to what `after` asked. Raises BadAnswerError."""
        if self.gathering.token_ids is not None:
            self.gathering.token_ids.hear(raw)


class ResponsesStream(ChunkReader):
    """A chat completion as the events of the Responses API."""

    def __init__(
        self,
        head: dict[str, Any],
        stamp: Stamp,
        manner: Manner,
        sent: dict[str, Any],
        *,
        framing: Framing = SSE,
        dialect: Dialect = CHAT,
    ) -> None:
        self._framing = framing
        self._translator = StreamTranslator(head, stamp, manner)
        super().__init__(self._translator.gathering, sent, dialect)
        self._closing: list[Event] = []
        self.written: dict[str, Any] | None = None  # the resource, once the answer has ended

    def _take(self, data: bytes) -> bytes:
        return self._frames(self._translator.feed(decode(data)))

    def still_going(self) -> bytes:
        """Return an event that changes nothing: clients that count idle seconds take no comment for an event."""
        return self._frames(self._translator.still_going())

    def finish(self, completed_at: int) -> Answer:
        """Return the last events of an answer that the engine has ended. Raises BadAnswerError."""
        events = self._translator.finish(completed_at)
        self._closing = events[:-1]
        self.written = events[-1]["response"]
        said = self.gathering.generation()
        return Answer(self._frames(events) + self._framing.done, events[-1]["response"]["status"], said)

    def fail(self, error: GatewayError) -> bytes:
        """Return the last events of an answer that failed, or those in the place of `finish`'s."""
        events = [*self._closing, *self._translator.fail(error)]
        self._closing = events[:-1]
        self.written = events[-1]["response"]
        return self._frames(events) + self._framing.done

    def empty(self, reason: str = "length") -> bytes:
        """Return the events of the empty answer, to a prompt that does not fit; all that were not sent yet."""
        events = self._translator.empty(reason)
        self.written = events[-1]["response"]
        return self._frames(events) + self._framing.done

    def _frames(self, events: list[Event]) -> bytes:
        frame = self._framing.event
        return b"".join([frame(event["type"], wire.encode(event)) for event in events])


class ChatStream(ChunkReader):
    """A chat completion passed through, chunk by chunk, under the gateway's id and the profile's name.

    Reasoning stays in its own field, unlike in an answer that is not streamed: tags that open and close around deltas
    would reach clients as text before they can be understood. The chunks that end the answer wait for `finish`.
    """

    def __init__(
        self,
        model: str,
        stamp: Stamp,
        manner: Manner,
        sent: dict[str, Any],
        *,
        wants_usage: bool,
        wants_logprobs: bool,
        dialect: Dialect = CHAT,
    ) -> None:
        super().__init__(Gathering(manner, stamp.new_id), sent, dialect)
        self._model = model
        self._stamp = stamp
        self._wants_usage = wants_usage
        self._wants_logprobs = wants_logprobs
        self._held = b""

    def _take(self, data: bytes) -> bytes:
        chunk = decode(data)
        self.gathering.add(chunk)
        body = generation.whole(data)
        body["id"], body["model"] = self._stamp.response_id, self._model
        body["choices"] = body.get("choices") or []  # clients look into it, where some servers have null or nothing
        if self.gathering.token_ids is not None:
            chat_answer.without_token_ids(body, keep_logprobs=self._wants_logprobs)
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
        """Return the chunks that end the answer; the numbers of its tokens come before them, in one of their own.

        Raises:
            BadAnswerError: if those are wanted, and not known for certain.
        """
        self.gathering.end()
        said = self.gathering.generation()
        told = b""
        if (ids := self.gathering.token_ids) is not None:
            told = self._chunk(ids.fields(is_silent=not self.gathering.has_said))
        return Answer(told + self._held + sse.DONE_FRAME, status_of(said.finish_reason), said)

    def empty(self, reason: str = "length") -> bytes:
        """Return the chunk of the empty answer, to a prompt that does not fit."""
        return self._chunk({"role": "assistant", "content": None}, reason) + sse.DONE_FRAME

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        return sse.nameless(wire.encode(chat_answer.chunk(self._model, self._stamp, delta, finish_reason)))

    def fail(self, error: GatewayError) -> bytes:
        """Return the error as vLLM streams it."""
        return sse.nameless(wire.encode(error.body())) + sse.DONE_FRAME
