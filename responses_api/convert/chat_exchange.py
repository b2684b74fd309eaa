"""POST /v1/chat/completions, passed through. Pure."""

from typing import Any, ClassVar

from responses_api import wire
from responses_api.convert import chat, chat_answer, generation, manner, side_channel
from responses_api.convert.answer import Answer, status_of
from responses_api.convert.chat_backed import ChatBacked
from responses_api.convert.exchange import SessionHints
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.streams import ChatStream

REQUIRED = {"model": str, "messages": list}
OPTIONAL = {"stream": bool, "stream_options": dict}


class ChatExchange(ChatBacked):
    """POST /v1/chat/completions, passed through."""

    api: ClassVar[str] = "chat"
    id_prefix: ClassVar[str] = "chatcmpl"
    input_param: ClassVar[str] = "messages"

    def __init__(self, body: bytes) -> None:
        """Parse what the gateway must know of the request. Raises RequestError."""
        self.request = wire.json_object(body)
        wire.check_types(self.request, required=REQUIRED, optional=OPTIONAL)
        self.asked = side_channel.read(self.request.get("metadata"))

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        return str(self.request["model"])

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""
        return bool(self.request.get("stream"))

    def use(self, settings: ProfileSettings) -> None:
        """Let these settings hold."""
        super().use(settings)
        self.manner = manner.of(settings)

    def session_hints(self) -> SessionHints:
        """Return what the body says of its session, if it says it as text."""
        metadata = self.request.get("metadata")
        said = (self.request.get("prompt_cache_key"), metadata.get("session_id") if isinstance(metadata, dict) else "")
        return SessionHints(*(text if isinstance(text, str) else "" for text in said))

    def conversation(self) -> list[Any]:
        """Return the messages."""
        messages: list[Any] = self.request["messages"]
        return messages

    def to_engine(self) -> dict[str, Any]:
        """Return the request with the profile's settings laid over it."""
        messages = chat.history(self.request["messages"], self.settings)
        if self.settings.replace_developer_role_with_system:
            messages = chat.developer_becomes_system(messages)
        asked, request = self.asked, self.request
        if asked is not side_channel.NOTHING:
            request = {name: value for name, value in request.items() if name != "metadata"}
            if metadata := side_channel.without(self.request["metadata"]):
                request["metadata"] = metadata
        return self.settings.engine_body(request, self.with_audio(messages), asked)

    @property
    def streamed(self) -> dict[str, Any]:
        """What is asked for when the answer is streamed."""
        return {**chat.STREAMED, "stream_options": {**self._stream_options, **chat.STREAMED["stream_options"]}}

    @property
    def _stream_options(self) -> dict[str, Any]:
        return self.request.get("stream_options") or {}

    def answer(self, raw: bytes, stamp: Stamp) -> Answer:
        """Return the engine's answer under the gateway's id and the profile's name."""
        said = self.read(raw, stamp)
        body = generation.whole(self.dialect.answer(raw))
        body["id"], body["model"] = stamp.response_id, self.settings.name
        if said.tokens:
            chat_answer.without_token_ids(body, keep_logprobs=self._wants_logprobs)
            body["choices"][0]["message"] |= said.tokens
        if self.settings.uses_reasoning_parser:
            chat_answer.tag_thoughts(body, self.settings.tags)
        return Answer(wire.encode(body), status_of(said.finish_reason), said)

    @property
    def _wants_logprobs(self) -> bool:
        return bool(self.request.get("logprobs"))

    def stream(self, stamp: Stamp) -> ChatStream:
        """Return what passes the engine's chunks on. The usage goes into the ledger, and to callers who ask for it."""
        self._token_ids = stream = ChatStream(
            self.settings.name,
            stamp,
            self.manner,
            self.sent,
            wants_usage=bool(self._stream_options.get("include_usage")),
            wants_logprobs=self._wants_logprobs,
            dialect=self.dialect,
        )
        return stream

    def empty_answer(self, stamp: Stamp, reason: str = "length") -> bytes:
        """Return an empty chat completion, or its chunk."""
        if self.wants_stream:
            return self.stream(stamp).empty(reason)
        return wire.encode(chat_answer.emptied(self.settings.name, stamp, reason))
