"""What a profile's settings change in a chat completion on its way through. Pure. Everything else passes as it is."""

from typing import Any

from responses_api.convert import items, think

# What an engine is asked for when the answer is streamed: the usage too, for the ledger.
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

TAGS = (think.OPEN, think.CLOSE)


def history(messages: list[Any]) -> list[Any]:
    """Return the messages with the assistant's tagged thoughts in fields of their own, where templates look."""
    return [_apart(message) if _is_thoughtful(message) else message for message in messages]


def _is_thoughtful(message: Any) -> bool:
    return (
        isinstance(message, dict) and message.get("role") == "assistant" and any(tag in _text(message) for tag in TAGS)
    )


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)
    return content if isinstance(content, str) else ""


def _apart(message: dict[str, Any]) -> dict[str, Any]:
    own = message.get("reasoning_content") or message.get("reasoning")
    before = [(True, own)] if isinstance(own, str) else []
    return {**message, **items.apart([*before, (False, _text(message))])}


def developer_becomes_system(messages: list[Any]) -> list[Any]:
    """Return the messages for a chat template that knows no developer."""
    return [
        {**message, "role": "system"} if isinstance(message, dict) and message.get("role") == "developer" else message
        for message in messages
    ]


def tag_thoughts(answer: dict[str, Any]) -> None:
    """Move each choice's reasoning into its content, tagged: clients that keep nothing but the content then send the
    thoughts back with the next turn, where `history` finds them.
    """
    for choice in answer["choices"]:
        message = choice["message"]
        own = message.pop("reasoning", None)
        own = message.pop("reasoning_content", None) or own
        if own:
            message["content"] = think.wrap(own) + _text(message)


def emptied(model: str, answer_id: str, created: int) -> dict[str, Any]:
    """Return the empty answer to a prompt that does not fit."""
    message = {"role": "assistant", "content": None, "tool_calls": None}
    choice = {"index": 0, "message": message, "finish_reason": "length", "logprobs": None}
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": None,
    }


def emptied_chunk(model: str, answer_id: str, created: int) -> dict[str, Any]:
    """Return the same as the only chunk of a streamed answer."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": "length", "logprobs": None}
    return {
        "id": answer_id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "choices": [choice],
    }
