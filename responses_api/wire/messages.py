"""What engines send on /v1/messages: Anthropic's messages, whole or in events. Pure."""

from typing import Any

import msgspec

from responses_api.errors import BadAnswerError


class Block(msgspec.Struct):
    """A content block, or the delta of one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    stop_reason: str | None = None


class Message(msgspec.Struct):
    """An answer."""

    content: list[Block] = []
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


class MessageEvent(msgspec.Struct):
    """An event of a stream: the fields of all kinds."""

    type: str = ""
    message: Message | None = None
    content_block: Block | None = None
    delta: Block | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class _Whole(Message):
    """An answer that must say that it is one."""

    type: str = ""


_message_decoder = msgspec.json.Decoder(_Whole)
_event_decoder = msgspec.json.Decoder(MessageEvent)


def message(data: bytes) -> Message:
    """Return the answer.

    Raises:
        BadAnswerError: if it is none.
    """
    try:
        found = _message_decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is not a message: {error}") from None
    if found.type != "message":
        raise BadAnswerError("The engine's answer is not a message.")
    return found


def message_event(data: bytes) -> MessageEvent:
    """Return the event.

    Raises:
        BadAnswerError: if it is none.
    """
    try:
        return _event_decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is not an event of a message: {error}") from None
