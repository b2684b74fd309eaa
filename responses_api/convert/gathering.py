"""What an engine generated, gathered from the chunks of its streamed chat completion. Pure.

The same reading as `generation`, piece by piece: `add` returns what a chunk held, `generation` what all of them did.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from responses_api import wire
from responses_api.convert import think
from responses_api.convert.generation import Call, Generation, IdMaker, Usage, arguments_text, text_of, usage
from responses_api.errors import BadAnswerError, EngineError

_chunk_decoder = msgspec.json.Decoder(wire.ChatChunk)


class Kind(Enum):
    """What a piece of a chunk is."""

    THOUGHT = auto()  # in the engine's own field
    TEXT = auto()
    REFUSAL = auto()
    CALL = auto()


@dataclass(slots=True, eq=False)
class GrowingCall:
    """A tool call so far. It is `known` once it has a name; arguments that come before that wait here."""

    call_id: str
    engine_id: str | None
    index: int | None
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    def call(self) -> Call:
        """Return the call. One that was sent no arguments, not even empty ones, has an empty object."""
        return Call(self.call_id, self.name, "".join(self.pieces) if self.pieces else "{}")

    def is_meant(self, sent: wire.ToolCall) -> bool:
        """Whether a piece belongs to this call. Some servers number all their calls 0 and tell them apart by id."""
        if sent.id and self.engine_id and sent.id != self.engine_id:
            return False
        return sent.index is None or self.index is None or sent.index == self.index


class Heard(NamedTuple):
    """A piece of what the model says."""

    kind: Kind
    text: str
    call: GrowingCall | None = None


class Gathering:
    """Chunks in, a generation out."""

    def __init__(self, new_id: IdMaker) -> None:
        self.begun = False  # whether there is a first completion at all
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.calls: list[GrowingCall] = []
        self._new_id = new_id
        self._said: dict[Kind, list[str]] = {Kind.THOUGHT: [], Kind.TEXT: [], Kind.REFUSAL: []}

    def add(self, chunk: wire.ChatChunk) -> list[Heard]:
        """Return what the chunk says. Of several completions, the first one counts."""
        if chunk.usage is not None:
            self.usage = usage(chunk.usage)
        heard: list[Heard] = []
        for choice in chunk.choices:
            if choice.index == 0:
                self.begun = True
                self.finish_reason = choice.finish_reason or self.finish_reason
                heard += self._hear(choice.delta) if choice.delta is not None else ()
        return heard

    def _hear(self, delta: wire.ChatMessage) -> list[Heard]:
        heard = [
            Heard(kind, text)
            for kind, text in (
                (Kind.THOUGHT, delta.reasoning_content or delta.reasoning or ""),
                (Kind.TEXT, text_of(delta.content)),
                (Kind.REFUSAL, delta.refusal or ""),
            )
            if text
        ]
        for kind, text, _ in heard:
            self._said[kind].append(text)
        sent: Sequence[wire.ToolCall] = delta.tool_calls or ()
        if delta.function_call and not sent:  # the form before tool_calls
            sent = [wire.ToolCall(function=delta.function_call)]
        return heard + [self._hear_call(piece) for piece in sent]

    def _hear_call(self, sent: wire.ToolCall) -> Heard:
        call = next((call for call in reversed(self.calls) if call.is_meant(sent)), None)
        if call is None:
            call = GrowingCall(sent.id or self._new_id("call"), sent.id, sent.index)
            self.calls.append(call)
        if sent.function is None:
            return Heard(Kind.CALL, "", call)
        call.name = call.name or sent.function.name or ""
        if sent.function.arguments is None:
            return Heard(Kind.CALL, "", call)
        arguments = arguments_text(sent.function.arguments)
        call.pieces.append(arguments)
        return Heard(Kind.CALL, arguments, call)

    def generation(self, *, split_thoughts: bool) -> Generation:
        """Return what was generated, as if it had come in one piece."""
        said = {kind: "".join(pieces) for kind, pieces in self._said.items()}
        thoughts, text = [said[Kind.THOUGHT]] if said[Kind.THOUGHT] else [], said[Kind.TEXT]
        if split_thoughts:
            found, text = think.split(text)
            thoughts += found
        calls = [call.call() for call in self.calls]
        return Generation(thoughts, text, said[Kind.REFUSAL], calls, self.finish_reason, self.usage)


def decode(data: bytes) -> wire.ChatChunk:
    """Return the chunk.

    Raises:
        BadAnswerError: if it is none.
        EngineError: if it is an error, with the engine's words.
    """
    try:
        chunk = _chunk_decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is not a chat completion: {error}") from None
    if chunk.error is not None:
        raise EngineError(wire.engine_error(data).message or "The engine broke its answer off, and does not say why.")
    return chunk
