"""One request and its answer in the words of one API. Pure. The gateway knows only this face of the converters."""

from typing import Any, ClassVar, Protocol

from responses_api import sse, wire
from responses_api.convert import chat, generation, request, resource
from responses_api.convert.answer import Answer, AnswerStream, status_of
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.streams import ChatStream, ResponsesStream
from responses_api.errors import RequestError


class Exchange(Protocol):
    """A parsed request, and how its answer is written."""

    api: ClassVar[str]
    id_prefix: ClassVar[str]
    input_param: ClassVar[str]

    def __init__(self, body: bytes) -> None:
        """Parse the request. Raises RequestError."""
        ...

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        ...

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""
        ...

    def engine_body(self, settings: ProfileSettings) -> bytes:
        """Return what the engine is sent. Raises RequestError."""
        ...

    def answer(self, raw: bytes, settings: ProfileSettings, stamp: Stamp) -> Answer:
        """Return the engine's answer in this API's words. Raises BadAnswerError."""
        ...

    def stream(self, settings: ProfileSettings, stamp: Stamp) -> AnswerStream:
        """Return what makes this API's stream of the engine's."""
        ...

    def empty_answer(self, settings: ProfileSettings, stamp: Stamp) -> bytes:
        """Return the answer to a prompt that does not fit the engine; the whole stream, if that is wanted."""
        ...


class ResponsesExchange:
    """POST /v1/responses over the engine's chat completions."""

    api: ClassVar[str] = "responses"
    id_prefix: ClassVar[str] = "resp"
    input_param: ClassVar[str] = "input"

    def __init__(self, body: bytes) -> None:
        """Parse the request. Raises RequestError."""
        self.request = wire.responses_request(body)
        request.refuse_unserved(self.request)
        self.sent: dict[str, Any] = {}

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        return self.request.model

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""
        return bool(self.request.stream)

    def engine_body(self, settings: ProfileSettings) -> bytes:
        """Return the chat completion request."""
        self.sent = request.to_chat(self.request, settings)
        return wire.encode({**self.sent, **chat.STREAMED} if self.wants_stream else self.sent)

    def answer(self, raw: bytes, settings: ProfileSettings, stamp: Stamp) -> Answer:
        """Return the response resource."""
        said = generation.read(
            generation.decode(raw), split_thoughts=settings.uses_reasoning_parser, new_id=stamp.new_id
        )
        body = resource.answered(self.request, self.sent, settings.name, said, stamp)
        return Answer(wire.encode(body), body["status"], said)

    def stream(self, settings: ProfileSettings, stamp: Stamp) -> ResponsesStream:
        """Return what makes events of the engine's chunks."""
        head = resource.head(self.request, self.sent, settings.name, stamp)
        return ResponsesStream(head, stamp, split_thoughts=settings.uses_reasoning_parser)

    def empty_answer(self, settings: ProfileSettings, stamp: Stamp) -> bytes:
        """Return the response resource of an empty answer, or its events."""
        if self.wants_stream:
            return self.stream(settings, stamp).empty()
        return wire.encode(resource.emptied(self.request, self.sent, settings.name, stamp))


class ChatExchange:
    """POST /v1/chat/completions, passed through."""

    api: ClassVar[str] = "chat"
    id_prefix: ClassVar[str] = "chatcmpl"
    input_param: ClassVar[str] = "messages"

    def __init__(self, body: bytes) -> None:
        """Parse what the gateway must know of the request. Raises RequestError."""
        self.request = wire.json_object(body)
        for name, kind in (("model", str), ("messages", list)):
            if name not in self.request:
                raise RequestError(
                    f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
                )
            if not isinstance(self.request[name], kind):
                raise RequestError(f"Invalid type for '{name}'.", param=name, code="invalid_type")
        for name, kinds in (("stream", bool), ("stream_options", dict)):
            if not isinstance(self.request.get(name), kinds | None):
                raise RequestError(f"Invalid type for '{name}'.", param=name, code="invalid_type")

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        return str(self.request["model"])

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""
        return bool(self.request.get("stream"))

    def engine_body(self, settings: ProfileSettings) -> bytes:
        """Return the request with the profile's settings laid over it."""
        messages = self.request["messages"]
        if settings.uses_reasoning_parser:
            messages = chat.history(messages)
        if settings.developer_becomes_system:
            messages = chat.developer_becomes_system(messages)
        body = settings.engine_body(self.request, messages)
        if self.wants_stream:
            options = {**self._stream_options, **chat.STREAMED["stream_options"]}
            body |= {**chat.STREAMED, "stream_options": options}
        return wire.encode(body)

    @property
    def _stream_options(self) -> dict[str, Any]:
        return self.request.get("stream_options") or {}

    def answer(self, raw: bytes, settings: ProfileSettings, stamp: Stamp) -> Answer:
        """Return the engine's answer under the gateway's id and the profile's name."""
        completion = generation.decode(raw)
        said = generation.read(completion, split_thoughts=settings.uses_reasoning_parser, new_id=stamp.new_id)
        body = generation.whole(raw)
        body["id"], body["model"] = stamp.response_id, settings.name
        if settings.uses_reasoning_parser:
            chat.tag_thoughts(body)
        return Answer(wire.encode(body), status_of(said.finish_reason), said)

    def stream(self, settings: ProfileSettings, stamp: Stamp) -> ChatStream:
        """Return what passes the engine's chunks on. The usage goes into the ledger, and to callers who ask for it."""
        return ChatStream(
            settings.name,
            stamp,
            split_thoughts=settings.uses_reasoning_parser,
            wants_usage=bool(self._stream_options.get("include_usage")),
        )

    def empty_answer(self, settings: ProfileSettings, stamp: Stamp) -> bytes:
        """Return an empty chat completion, or its chunk."""
        if self.wants_stream:
            chunk = chat.emptied_chunk(settings.name, stamp.response_id, stamp.created_at)
            return sse.nameless(wire.encode(chunk)) + sse.DONE_FRAME
        return wire.encode(chat.emptied(settings.name, stamp.response_id, stamp.created_at))
