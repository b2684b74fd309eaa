"""What an engine generated, read off its chat completion. Pure.

Read so that nothing is lost: a tool call without an id gets one, arguments sent as an object become text, an unknown
finish reason is an ordinary end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from responses_api import wire
from responses_api.convert import think
from responses_api.errors import BadAnswerError

T = TypeVar("T")

# Makes an id of a prefix: "fc" -> "fc_3f…".
IdMaker = Callable[[str], str]

MAX_COUNT = 2**53


@dataclass(slots=True)
class Call:
    """A tool call of the model."""

    call_id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Usage:
    """Tokens, as the engine counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(slots=True)
class Generation:
    """One answer of the model, in parts."""

    thoughts: list[str] = field(default_factory=list)
    text: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    finish_reason: str = ""
    usage: Usage | None = None


def decode(raw: bytes) -> wire.ChatCompletion:
    """Return the completion, which has one choice at least.

    Raises:
        BadAnswerError: if it is no chat completion.
    """
    completion = _decoded(wire.completion_decoder, raw)
    if not completion.choices:
        raise BadAnswerError("The engine's answer has no choices.")
    return completion


def whole(raw: bytes) -> dict[str, Any]:
    """Return all that a completion holds, fields included that `decode` passes unread.

    Raises:
        BadAnswerError: if one of those is no JSON.
    """
    return _decoded(wire.object_decoder, raw)


def _decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is not a chat completion: {error}") from None


def read(completion: wire.ChatCompletion, *, split_thoughts: bool, new_id: IdMaker) -> Generation:
    """Return what the first choice holds. `split_thoughts` takes `<think>` out of the text."""
    choice = completion.choices[0]
    message = choice.message
    text = text_of(message.content)
    # Older servers' name wins when both are there: it is the one that a proxy in between has filled in.
    own = message.reasoning_content or message.reasoning
    thoughts = [own] if own else []
    if split_thoughts:
        found, text = think.split(text)
        thoughts += found
    return Generation(
        thoughts=thoughts,
        text=text,
        refusal=message.refusal or "",
        calls=_calls(message, new_id),
        finish_reason=choice.finish_reason or "",
        usage=None if completion.usage is None else usage(completion.usage),
    )


def text_of(content: str | list[dict[str, Any]] | None) -> str:
    """Return a content's text, whether it came as such or in parts."""
    if isinstance(content, list):
        return "".join(text for part in content if isinstance(text := part.get("text"), str))
    return content or ""


def _calls(message: wire.ChatMessage, new_id: IdMaker) -> list[Call]:
    calls = [(call.id, call.function) for call in message.tool_calls or []]
    if message.function_call and not calls:  # the form before tool_calls
        calls = [(None, message.function_call)]
    return [
        Call(call_id or new_id("call"), function.name or "", arguments_text(function.arguments))
        for call_id, function in calls
        if function is not None
    ]


def arguments_text(given: Any) -> str:
    """Return a call's arguments as the JSON text that they are elsewhere."""
    if isinstance(given, str):
        return given
    return "{}" if given is None else msgspec.json.encode(given).decode()


def usage(given: dict[str, Any]) -> Usage:
    """Return the counts under whichever names the engine uses."""
    prompt, completion = given.get("prompt_tokens_details"), given.get("completion_tokens_details")
    cached = prompt.get("cached_tokens") if isinstance(prompt, dict) else None
    reasoning = completion.get("reasoning_tokens") if isinstance(completion, dict) else None
    return Usage(
        input_tokens=_count(given.get("prompt_tokens")),
        output_tokens=_count(given.get("completion_tokens")),
        cached_tokens=_first(cached, given.get("cached_input_tokens"), given.get("cache_read_input_tokens")),
        reasoning_tokens=_first(reasoning, given.get("reasoning_output_tokens")),
    )


def _first(*given: Any) -> int | None:
    return next((count for value in given if (count := _count(value)) is not None), None)


def _count(value: Any) -> int | None:
    """Return a count that can be stored; None for what is none."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None
