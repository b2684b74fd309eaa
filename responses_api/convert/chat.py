"""What a profile's settings change in a chat completion on its way through. Pure. Everything else passes as it is."""

from typing import Any

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.transcript import TOKEN_IDS, apart, token_ids

# What an engine is asked for when the answer is streamed: the usage too, for the ledger.
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

THOUGHTS = ("reasoning_content", "reasoning")


def history(messages: list[Any], settings: ProfileSettings) -> list[Any]:
    """Return the messages with what the assistant thought in earlier turns where the profile wants it: tagged thoughts
    in fields of their own, or in the text as they came; or none at all. The numbers of tokens stay for those who train.

    Raises:
        RequestError: if a message holds some of those numbers, and not all.
    """
    return [
        _earlier(message, settings, f"messages[{index}]")
        if isinstance(message, dict) and message.get("role") == "assistant"
        else message
        for index, message in enumerate(messages)
    ]


def _earlier(message: dict[str, Any], settings: ProfileSettings, at: str) -> dict[str, Any]:
    if settings.uses_reasoning_parser and not settings.preserve_reasoning_in_assistant_content:
        text = _text(message)
        if any(tag in text for tag in settings.tags):
            message = _apart(message, settings)
    if not settings.uses_interleaved_reasoning:
        message = {name: value for name, value in message.items() if name not in THOUGHTS}
    if any(name in message for name in TOKEN_IDS):
        found = token_ids(message, at) if settings.return_token_id_information else {}
        message = {**{name: value for name, value in message.items() if name not in TOKEN_IDS}, **found}
    return message


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)
    return content if isinstance(content, str) else ""


def _apart(message: dict[str, Any], settings: ProfileSettings) -> dict[str, Any]:
    own = message.get("reasoning_content") or message.get("reasoning")
    before = [(True, own)] if isinstance(own, str) else []
    return {**message, **apart([*before, (False, _text(message))], settings.tags)}


def developer_becomes_system(messages: list[Any]) -> list[Any]:
    """Return the messages for a chat template that knows no developer."""
    return [
        {**message, "role": "system"} if isinstance(message, dict) and message.get("role") == "developer" else message
        for message in messages
    ]
