"""One request and its answer in the words of one API. Pure. The gateway knows only this face of the converters."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from responses_api import wire
from responses_api.convert import chat, generation, request, resource
from responses_api.convert.generation import Generation
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import FAILED, INCOMPLETE, Stamp
from responses_api.errors import RequestError, UnsupportedError


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes to the caller, and what it was made of."""

    body: bytes
    status: str  # completed, incomplete or failed
    generation: Generation


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

    def engine_body(self, settings: ProfileSettings) -> bytes:
        """Return what the engine is sent. Raises RequestError."""
        ...

    def answer(self, raw: bytes, settings: ProfileSettings, stamp: Stamp) -> Answer:
        """Return the engine's answer in this API's words. Raises BadAnswerError."""
        ...

    def empty_answer(self, settings: ProfileSettings, stamp: Stamp) -> bytes:
        """Return the answer to a prompt that does not fit the engine."""
        ...


def status_of(finish_reason: str) -> str:
    """Return how an answer ended, given why the engine stopped."""
    if finish_reason in FAILED:
        return "failed"
    return "incomplete" if finish_reason in INCOMPLETE else "completed"


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

    def engine_body(self, settings: ProfileSettings) -> bytes:
        """Return the chat completion request."""
        self.sent = request.to_chat(self.request, settings)
        return wire.encode(self.sent)

    def answer(self, raw: bytes, settings: ProfileSettings, stamp: Stamp) -> Answer:
        """Return the response resource."""
        said = generation.read(
            generation.decode(raw), split_thoughts=settings.uses_reasoning_parser, new_id=stamp.new_id
        )
        body = resource.answered(self.request, self.sent, settings.name, said, stamp)
        return Answer(wire.encode(body), body["status"], said)

    def empty_answer(self, settings: ProfileSettings, stamp: Stamp) -> bytes:
        """Return the response resource of an empty answer."""
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
        if self.request.get("stream"):
            raise UnsupportedError("'stream' is not supported by this server.", param="stream")

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        return str(self.request["model"])

    def engine_body(self, settings: ProfileSettings) -> bytes:
        """Return the request with the profile's settings laid over it."""
        messages = self.request["messages"]
        if settings.uses_reasoning_parser:
            messages = chat.history(messages)
        if settings.developer_becomes_system:
            messages = chat.developer_becomes_system(messages)
        return wire.encode(settings.engine_body(self.request, messages))

    def answer(self, raw: bytes, settings: ProfileSettings, stamp: Stamp) -> Answer:
        """Return the engine's answer under the gateway's id and the profile's name."""
        completion = generation.decode(raw)
        said = generation.read(completion, split_thoughts=settings.uses_reasoning_parser, new_id=stamp.new_id)
        body = generation.whole(raw)
        body["id"], body["model"] = stamp.response_id, settings.name
        if settings.uses_reasoning_parser:
            chat.tag_thoughts(body)
        return Answer(wire.encode(body), status_of(said.finish_reason), said)

    def empty_answer(self, settings: ProfileSettings, stamp: Stamp) -> bytes:
        """Return an empty chat completion."""
        return wire.encode(chat.emptied(settings.name, stamp.response_id, stamp.created_at))
