"""POST /v1/messages and /v1/messages/count_tokens, Anthropic's API, passed through. Pure."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from responses_api import sse, wire
from responses_api.convert.answer import Answer, status_of
from responses_api.convert.generation import MAX_COUNT, Call, Generation, Usage
from responses_api.convert.passed.exchange import PassedExchange, PassedStream, UngeneratedExchange, fields_of
from responses_api.convert.resource import Stamp
from responses_api.errors import BadAnswerError, EngineError, GatewayError

FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# Anthropic's error types by HTTP status; any other is `invalid_request_error` below 500, `api_error` above.
ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
FIRST_SERVER_ERROR = 500


def error_body(error: GatewayError) -> dict[str, Any]:
    """Return an error as Anthropic's clients read it."""
    other = "invalid_request_error" if error.status < FIRST_SERVER_ERROR else "api_error"
    return {"type": "error", "error": {"type": ERROR_TYPES.get(error.status, other), "message": error.message}}


def too_long(message: str, *, prompt: int | None, asked: int | None, limit: int | None) -> str:
    """Return the sentence by which Anthropic's clients know that a conversation does not fit, so that they compact it
    or ask for less. The numbers are tokens, None where the engine, which said `message`, gave none.
    """
    if prompt is None and asked is not None and limit is not None:
        return f"max_tokens: {asked} > {limit}, which is the maximum allowed number of output tokens"
    if prompt is None or limit is None:
        return f"prompt is too long: {message}"
    if asked and prompt <= limit:
        return (
            f"input length and `max_tokens` exceed context limit: {prompt} + {asked} > {limit}, "
            "decrease input length or `max_tokens` and try again"
        )
    return f"prompt is too long: {prompt} tokens > {limit} maximum"


class MessagesExchange(PassedExchange):
    """POST /v1/messages, passed through."""

    api: ClassVar[str] = "messages"
    id_prefix: ClassVar[str] = "msg"
    input_param: ClassVar[str] = "messages"
    path = "messages"
    required: ClassVar = {"model": str, "messages": list}
    optional: ClassVar = {"stream": bool, "chat_template_kwargs": dict}

    def too_long(self, message: str, *, prompt: int | None, asked: int | None, limit: int | None) -> str:
        """Return what to say of a conversation that does not fit."""
        return too_long(message, prompt=prompt, asked=asked, limit=limit)

    def conversation(self) -> list[Any]:
        """Return the messages behind the system's words."""
        system = [{"role": "system", "content": self.request["system"]}] if self.request.get("system") else []
        return [*system, *self.request["messages"]]

    def reply(self, said: Generation) -> list[Any]:
        """Return the message. Its calls are known by their ids."""
        calls = [{"type": "tool_use", "id": call.call_id, "name": call.name} for call in said.calls]
        return [{"role": "assistant", "content": [{"type": "text", "text": said.text}, *calls]}]

    def said(self, raw: bytes) -> tuple[Generation, str]:
        """Return what the blocks hold."""
        message = wire.message(raw)
        gathering = Gathering()
        for block in message.content:
            gathering.begin(block)
        gathering.end(message.stop_reason, message.usage)
        return gathering.said, gathering.status

    def stream(self, stamp: Stamp) -> "MessagesStream":
        """Return what passes the engine's events on."""
        return MessagesStream(self.settings.name, stamp)

    def empty_answer(self, stamp: Stamp) -> bytes:
        """Return an empty message, or its events."""
        block = {"type": "text", "text": ""}
        usage = {"input_tokens": 0, "output_tokens": 0}
        end = {"stop_reason": "max_tokens", "stop_sequence": None}
        head = {"id": stamp.response_id, "type": "message", "role": "assistant", "model": self.settings.name}
        if not self.wants_stream:
            return wire.encode({**head, "content": [block], **end, "usage": usage})
        begun: dict[str, Any] = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        ]
        return b"".join([_frame(event) for event in events])


class Gathering:
    """What a message holds, block by block."""

    def __init__(self) -> None:
        self.said = Generation()
        self._input: Mapping[str, Any] = {}

    @property
    def status(self) -> str:
        """How the answer ended."""
        return status_of(self.said.finish_reason)

    def begin(self, block: wire.Block) -> None:
        """Take a block, or the beginning of one."""
        if block.type == "thinking":
            self.said.thoughts.append("")
        elif block.type == "tool_use":
            self.said.calls.append(Call(block.id or "", block.name or "", ""))
        self.grow(block)

    def grow(self, block: wire.Block) -> None:
        """Take more of a block."""
        if block.thinking:
            self.said.thoughts.append(block.thinking)
        self.said.text += block.text or ""

    def end(self, stop_reason: str | None, usage: Mapping[str, Any] | None) -> None:
        """Take why the model stopped, and the tokens. Cached ones are counted apart, and belong to the prompt."""
        self.said.finish_reason = FINISH_REASONS.get(stop_reason or "", "stop" if stop_reason else "")
        counted = {**self._input, **{name: count for name, count in (usage or {}).items() if count is not None}}
        fresh, output = _count(counted, "input_tokens"), _count(counted, "output_tokens")
        cached = _count(counted, "cache_read_input_tokens")
        if fresh is not None:
            fresh += (cached or 0) + (_count(counted, "cache_creation_input_tokens") or 0)
        self.said.usage = Usage(fresh, output, cached)

    def begin_counting(self, usage: Mapping[str, Any] | None) -> None:
        """Take the tokens that a stream begins with."""
        self._input = usage or {}


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def _frame(event: dict[str, Any]) -> bytes:
    return sse.frame(event["type"], wire.encode(event))


STOP: dict[str, Any] = {"type": "message_stop"}


class MessagesStream(PassedStream):
    """The events of a message."""

    def __init__(self, model: str, stamp: Stamp) -> None:
        super().__init__()
        self._model = model
        self._id = stamp.response_id
        self._gathering = Gathering()
        self._begun = False
        self.said_all = (
            False  # whether the engine said why it stopped: only the last event, which says no more, is left
        )

    def take(self, event: sse.Event) -> tuple[bytes, bool]:
        """Return the event; the first one under the gateway's id and the profile's name."""
        if event.is_done:
            return self._stop()
        told = wire.message_event(event.data)
        if told.error is not None or told.type == "error":
            said = wire.engine_error(event.data).message
            raise EngineError(said or "The engine broke its answer off, and does not say why.")
        if told.type == "message_stop":
            return self._stop()
        if told.type == "message_start":
            return self._begin(event, told), False
        if not self._begun:
            raise BadAnswerError("The engine's answer does not begin with message_start.")
        self._hear(told)
        return sse.frame(told.type, wire.encode(fields_of(event.data))), self.said_all

    def _stop(self) -> tuple[bytes, bool]:
        if not self.said_all:
            raise BadAnswerError("The engine's message ends before it says why.")
        self.is_done = True
        return b"", True

    def _begin(self, event: sse.Event, told: wire.MessageEvent) -> bytes:
        self._begun = True
        fields = fields_of(event.data)
        self._gathering.begin_counting(told.message.usage if told.message else None)
        message = fields_of(bytes(fields.get("message") or b"null"))
        fields["message"] = {**message, "id": self._id, "model": self._model}
        return sse.frame(told.type, wire.encode(fields))

    def _hear(self, told: wire.MessageEvent) -> None:
        if told.content_block is not None:
            self._gathering.begin(told.content_block)
        elif told.type == "message_delta":
            self._gathering.end(told.delta.stop_reason if told.delta else None, told.usage)
            self.said_all = True
        elif told.delta is not None:
            self._gathering.grow(told.delta)

    def still_going(self) -> bytes:
        """Return the event that this API has for it."""
        return _frame({"type": "ping"})

    def finish(self, completed_at: int) -> Answer:  # noqa: ARG002  (messages carry no time)
        """Return the events that end the answer."""
        return Answer(self._held + _frame(STOP), self._gathering.status, self._gathering.said)

    def fail(self, error: GatewayError) -> bytes:
        """Return the error, which ends a stream of this API."""
        return _frame(error_body(error))


class Counted(msgspec.Struct):
    """What the gateway reads of the answer of `count_tokens`."""

    input_tokens: int


_counted_decoder = msgspec.json.Decoder(Counted)


class CountTokensExchange(UngeneratedExchange):
    """POST /v1/messages/count_tokens, passed through."""

    api: ClassVar[str] = "count_tokens"
    id_prefix: ClassVar[str] = "count"
    input_param: ClassVar[str] = "messages"
    path = "messages/count_tokens"
    required: ClassVar = {"model": str, "messages": list}
    optional: ClassVar = {"chat_template_kwargs": dict}

    def engine_body(self) -> bytes:
        """Return the request, with what decides how the conversation is rendered."""
        return wire.encode(self.rendered())

    def too_long(self, message: str, *, prompt: int | None, asked: int | None, limit: int | None) -> str:
        """Return what to say of a conversation that does not fit."""
        return too_long(message, prompt=prompt, asked=asked, limit=limit)

    def usage(self, raw: bytes) -> Usage:
        """Return how many tokens there are. Raises BadAnswerError if the engine does not say."""
        try:
            return Usage(input_tokens=_counted_decoder.decode(raw).input_tokens)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer holds no count: {error}") from None
