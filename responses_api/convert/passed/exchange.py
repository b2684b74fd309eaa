"""What the APIs that pass through share: the request and the answer go on as they are, but for a few fields. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from responses_api import sse, wire
from responses_api.convert.answer import Answer, AnswerStream, Question
from responses_api.convert.exchange import Exchange
from responses_api.convert.generation import Generation
from responses_api.convert.resource import Stamp
from responses_api.errors import BadAnswerError, EngineError

# Fields of an answer, unread: those that nobody looks at go on as the bytes that came.
Fields = dict[str, Any]
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fields_of(raw: bytes) -> Fields:
    """Return the fields of an answer or of an event. Raises BadAnswerError if it has none."""
    try:
        raw.decode()  # what is passed on unread is text, too
        return {**_decoder.decode(raw)}
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is no JSON object: {error}") from None


class PassedExchange(Exchange):
    """An API that passes through."""

    required: ClassVar[Mapping[str, type]] = {"model": str}
    optional: ClassVar[Mapping[str, type]] = {}

    def __init__(self, body: bytes) -> None:
        """Parse what the gateway must know of the request. Raises RequestError."""
        self.request = wire.json_object(body)
        wire.check_types(self.request, required=self.required, optional=self.optional)

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        return str(self.request["model"])

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""
        return bool("stream" in self.optional and self.request.get("stream"))

    def engine_body(self) -> bytes:
        """Return the request with the profile's settings laid over it."""
        self.sent = self.settings.laid_over(self.request)
        return wire.encode(self.sent)

    def answer(self, raw: bytes, stamp: Stamp) -> Answer:
        """Return the engine's answer under the gateway's id and the profile's name."""
        fields = fields_of(raw)
        for name, ours in (("id", stamp.response_id), ("model", self.settings.name)):
            if name in fields:
                fields[name] = ours
        said, status = self.said(raw)
        return Answer(wire.encode(fields), status, said)

    @abstractmethod
    def said(self, raw: bytes) -> tuple[Generation, str]:
        """Return what was generated, and how that ended. Raises BadAnswerError."""

    def stream(self, stamp: Stamp) -> AnswerStream:
        """Return what passes the engine's events on."""
        raise NotImplementedError

    def empty_answer(self, stamp: Stamp) -> bytes:
        """Return the answer to a prompt that does not fit the engine; the whole stream, if that is wanted."""
        raise NotImplementedError


class UngeneratedExchange(PassedExchange):
    """An API that passes through and generates nothing, so that its answer is never empty and never streamed."""

    generates = False

    def renamed(self) -> dict[str, Any]:
        """Return the request with the engine's name of the model."""
        return {**self.request, "model": self.settings.engine_model}

    def rendered(self) -> dict[str, Any]:
        """Return that for a conversation, which is rendered as the profile's other requests are."""
        body = self.renamed()
        if kwargs := self.settings.chat_template_kwargs:
            body["chat_template_kwargs"] = {**kwargs, **(body.get("chat_template_kwargs") or {})}
        return body

    def said(self, raw: bytes) -> tuple[Generation, str]:
        """Return how many tokens were read."""
        return Generation(usage=self.usage(raw)), "completed"

    @abstractmethod
    def usage(self, raw: bytes) -> Any:
        """Return the tokens that the engine counted. Raises BadAnswerError."""


class PassedStream(ABC):
    """A stream that passes through, event by event. What ends the answer waits for `finish`."""

    def __init__(self) -> None:
        self.error: EngineError | None = None
        self.is_done = False
        self._held = b""
        self._decoder = sse.Decoder()

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent now."""
        sent: list[bytes] = []
        try:
            for event in self._decoder.feed(data):
                if self.is_done:
                    break
                frame, ends = self.take(event)
                if ends:
                    self._held += frame
                elif frame:
                    sent.append(self._held + frame)
                    self._held = b""
        except EngineError as error:
            self.error = error
        return b"".join(sent)

    @abstractmethod
    def take(self, event: sse.Event) -> tuple[bytes, bool]:
        """Return what an event becomes, and whether it belongs to the end of the answer. Raises EngineError."""

    def emptied(self) -> bytes | None:
        """Return nothing: engines know that a prompt does not fit before they stream on these paths."""
        return None

    def after(self) -> Question | None:
        """Return what must be asked before `finish`."""
        return None
