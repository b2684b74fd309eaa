"""What an engine generated, as its chat completion tells it. Pure.

Read so that nothing is lost: arguments sent as an object become text, an unknown finish reason is an ordinary end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec

from responses_api import wire
from responses_api.convert.logprobs import Entry
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


class Kind(Enum):
    """What a piece of an answer is, in the order in which an answer that is not streamed has them."""

    THOUGHT = auto()
    TEXT = auto()
    REFUSAL = auto()
    CALL = auto()
    OTHER = auto()  # an item of an engine that speaks Responses


@dataclass(slots=True)
class Said:
    """A piece of an answer: what was said until something else was. Each thought is a piece of its own."""

    kind: Kind
    text: str = ""
    call: Call | None = None
    item: dict[str, Any] | None = None
    logprobs: list[Entry] | None = None  # of a text


def by_kind(said: list[Said]) -> list[Said]:
    """Return the pieces as an answer that is not streamed has them: the thoughts, one text, one refusal, the calls.

    Where thoughts, texts and calls stood between each other is lost, as rollout harnesses expect it: they read one item
    of reasoning and one message.
    """
    sorted_said: list[Said] = []
    for piece in sorted(said, key=lambda piece: piece.kind.value):
        last = sorted_said[-1] if sorted_said else None
        if last is None or last.kind is not piece.kind or piece.kind not in {Kind.TEXT, Kind.REFUSAL}:
            sorted_said.append(piece)
            continue
        logprobs = (
            None if last.logprobs is piece.logprobs is None else [*(last.logprobs or ()), *(piece.logprobs or ())]
        )
        sorted_said[-1] = Said(piece.kind, last.text + piece.text, logprobs=logprobs)
    return sorted_said


@dataclass(slots=True)
class Generation:
    """One answer of the model: by kinds, and piece by piece, in the order of its items."""

    thoughts: list[str] = field(default_factory=list)
    text: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    finish_reason: str = ""
    usage: Usage | None = None
    tokens: dict[str, Any] = field(default_factory=dict)  # the fields that number those of the whole, if asked for
    forbidden: int = 0  # calls of the model that the request forbids
    others: list[dict[str, Any]] = field(default_factory=list)  # items of an engine that speaks Responses, as they are
    said: list[Said] = field(default_factory=list)

    @classmethod
    def of(cls, said: list[Said], **more: Any) -> "Generation":
        """Return the answer that was said so."""
        made = cls(said=said, **more)
        for piece in said:
            if piece.kind is Kind.TEXT:
                made.text += piece.text
            elif piece.kind is Kind.THOUGHT:
                made.thoughts.append(piece.text)
            elif piece.kind is Kind.REFUSAL:
                made.refusal += piece.text
            elif piece.call is not None:
                made.calls.append(piece.call)
            elif piece.item is not None:
                made.others.append(piece.item)
        return made

    @property
    def is_silent(self) -> bool:
        """Whether the model said nothing at all."""
        return not (self.thoughts or self.text or self.refusal or self.calls or self.forbidden or self.others)


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


def said_in(message: wire.ChatMessage) -> Sequence[tuple[Kind, str]]:
    """Return the thoughts, texts and refusals of a message, or of a piece of one, in their order, whichever form they
    came in.

    Of a thought's two names the older servers' wins when both are there: a proxy in between has filled that one in.
    """
    found: list[tuple[Kind, str]] = []
    if thought := message.reasoning_content or message.reasoning:
        found.append((Kind.THOUGHT, thought))
    if isinstance(message.content, list):
        for part in message.content:
            _add(found, Kind.THOUGHT, _thought_in(part))
            _add(found, Kind.TEXT, _text_at(part, "text"))
            _add(found, Kind.REFUSAL, _text_at(part, "refusal"))
    elif message.content:
        found.append((Kind.TEXT, message.content))
    if message.refusal:
        _add(found, Kind.REFUSAL, message.refusal)
    return found


def _add(found: list[tuple[Kind, str]], kind: Kind, text: str) -> None:
    if found and found[-1][0] is kind:
        text = found.pop()[1] + text
    if text:
        found.append((kind, text))


def said_in_content(content: Any) -> str:
    """Return a content's text, whether it came as such or in parts."""
    if isinstance(content, list):
        return "".join(_text_at(part, "text") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _text_at(part: dict[str, Any], name: str) -> str:
    return text if isinstance(text := part.get(name), str) else ""


def _thought_in(part: dict[str, Any]) -> str:
    """Return the thought in a part of a content: text, or parts of its own."""
    given = part.get("thinking")
    if isinstance(given, list):
        return "".join(_text_at(inner, "text") for inner in given if isinstance(inner, dict))
    return given if isinstance(given, str) else ""


def arguments_text(given: Any) -> str:
    """Return a call's arguments as the JSON text that they are elsewhere."""
    if isinstance(given, str):
        return given
    return "{}" if given is None else msgspec.json.encode(given).decode()


def usage(given: Any) -> Usage | None:
    """Return the counts under whichever names the engine uses; None if it counted neither side."""
    if not isinstance(given, dict):
        return None
    taken, made = _count(given.get("prompt_tokens")), _count(given.get("completion_tokens"))
    total = _count(given.get("total_tokens"))
    if total is not None and (taken is None) is not (made is None):
        rest = max(total - (taken or made or 0), 0)
        taken, made = (rest, made) if taken is None else (taken, rest)
    if taken is None and made is None:
        return None
    prompt, completion = given.get("prompt_tokens_details"), given.get("completion_tokens_details")
    cached = prompt.get("cached_tokens") if isinstance(prompt, dict) else None
    reasoning = completion.get("reasoning_tokens") if isinstance(completion, dict) else None
    return Usage(
        input_tokens=taken,
        output_tokens=made,
        cached_tokens=_first(cached, given.get("cached_input_tokens"), given.get("cache_read_input_tokens")),
        reasoning_tokens=_first(reasoning, given.get("reasoning_output_tokens")),
    )


def _first(*given: Any) -> int | None:
    for value in given:
        if (count := _count(value)) is not None:
            return count
    return None


def _count(value: Any) -> int | None:
    """Return a count that can be stored; None for what is none."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None
