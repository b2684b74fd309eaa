"""What an engine generated, gathered from its chat completion, whole or in chunks. Pure.

One reading for both: `add` takes a chunk, `take` a whole message, `generation` returns what all of them held, in the
order in which it was said.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from responses_api import wire
from responses_api.convert import think
from responses_api.convert.generation import (
    Generation,
    IdMaker,
    Kind,
    Usage,
    arguments_text,
    by_kind,
    said_in,
    usage,
)
from responses_api.convert.growing import Growing, GrowingCall
from responses_api.convert.logprobs import Alignment, Entry
from responses_api.convert.manner import Manner
from responses_api.convert.token_ids import TokenIds
from responses_api.errors import BadAnswerError, ToldError

_chunk_decoder = msgspec.json.Decoder(wire.ChatChunk)


class Heard(NamedTuple):
    """A piece of what the model says."""

    kind: Kind
    text: str = ""
    is_new: bool = False  # something else was said before
    call: GrowingCall | None = None
    item: dict[str, Any] | None = None  # of an engine that speaks Responses, whole
    logprobs: list[Entry] | None = None


class Gathering:
    """What an engine sends in, a generation out."""

    def __init__(self, manner: Manner, new_id: IdMaker) -> None:
        self.begun = False  # whether there is a first completion at all
        self.has_said = False  # whether there is any of it to be heard
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.calls: list[GrowingCall] = []
        self.token_ids = TokenIds() if manner.wants_token_ids else None
        self._alignment = Alignment() if manner.wants_logprobs else None
        self._splitter = (
            think.Splitter(manner.tags, begins_in_thought=manner.begins_in_thought) if manner.tags is not None else None
        )
        self._manner = manner
        self._new_id = new_id
        self._said: list[Growing] = []
        self._is_new_thought = False  # whatever the next one follows
        self._allowed = 0  # calls
        self._open_calls: list[GrowingCall] = []

    def add(self, chunk: wire.ChatChunk) -> list[Heard]:
        """Return what the chunk says. Of several completions, the first one counts. Raises BadAnswerError."""
        if chunk.usage is not None:
            self.usage = usage(chunk.usage) or self.usage
        if self.token_ids is not None:
            self.token_ids.add(chunk)
        heard: list[Heard] = []
        for choice in chunk.choices:
            if choice.index == 0:
                self.begun = True
                self.finish_reason = choice.finish_reason or self.finish_reason
                self.read_logprobs(choice.logprobs)
                if choice.delta is not None:
                    heard += self._hear(choice.delta)
        return heard

    def read_logprobs(self, logprobs: Any) -> None:
        """Take the log-probabilities of what is heard next, if they are wanted."""
        if self._alignment is not None:
            self._alignment.add(logprobs)

    def _hear(self, delta: wire.ChatMessage) -> list[Heard]:
        heard: list[Heard] = []
        for piece in delta.in_order or ():
            heard += self._hear(piece)
        self._is_new_thought = self._is_new_thought or delta.is_new_thought
        for kind, text in said_in(delta):
            self.has_said = True
            if kind is Kind.TEXT and self._splitter is not None:
                heard += self._hear_pieces(self._splitter.feed(text))
            else:
                heard += [*self._flush_before(kind), self._say(kind, text)]
        sent = _calls_in(delta)
        if sent or delta.output_item is not None:
            heard += self.flush()
        if delta.output_item is not None:
            heard.append(self._show(delta.output_item))
        calls = [self._hear_call(piece) for piece in sent]
        heard += [piece for piece in calls if piece.call is not None and not piece.call.is_forbidden]
        self.has_said = self.has_said or bool(heard)
        return heard

    def flush(self) -> list[Heard]:
        """Return what was held back because it might have been the beginning of a tag."""
        return [] if self._splitter is None else self._hear_pieces(self._splitter.flush())

    def _flush_before(self, kind: Kind) -> list[Heard]:
        """Flush. An engine that tells thoughts in a field of their own has taken them out of the text."""
        heard = self.flush()
        if kind is Kind.THOUGHT and self._splitter is not None:
            self._splitter.begins_in_thought = False
        return heard

    def _hear_pieces(self, pieces: list[think.Piece]) -> list[Heard]:
        return [
            self._say(Kind.TEXT, piece.text)
            if piece.kind is think.Kind.TEXT
            else self._say(Kind.THOUGHT, piece.text, is_tagged=True, is_new=piece.kind is think.Kind.NEW_THOUGHT)
            for piece in pieces
        ]

    def _say(self, kind: Kind, text: str, *, is_tagged: bool = False, is_new: bool = False) -> Heard:
        """Add to what was said last, or begin something else."""
        last = self._said[-1] if self._said else None
        if kind is Kind.THOUGHT:
            is_new, self._is_new_thought = is_new or self._is_new_thought, False
        is_new = is_new or last is None or last.kind is not kind or last.is_tagged is not is_tagged
        if is_new or last is None:
            last = self._begin(Growing(kind, is_tagged=is_tagged))
        last.pieces.append(text)
        if self._alignment is None:
            return Heard(kind, text, is_new)
        if kind is not Kind.TEXT:
            if kind is Kind.THOUGHT:
                self._alignment.skip(text)
            return Heard(kind, text, is_new)
        found = self._alignment.take(text)
        if last.logprobs is None:
            last.logprobs = []
        last.logprobs += found
        return Heard(kind, text, is_new, logprobs=found)

    def _begin(self, growing: Growing) -> Growing:
        """Begin something else. Text behind a thought may be written in the same letters."""
        has_thought = bool(self._said) and self._said[-1].kind is Kind.THOUGHT
        if self._alignment is not None and has_thought and growing.kind is not Kind.THOUGHT:
            self._alignment.pass_over(self._manner.closing_tag)
        for call in self._open_calls:
            call.close_if_complete()
        self._open_calls = [call for call in self._open_calls if not call.is_closed]
        self._said.append(growing)
        return growing

    def _show(self, item: dict[str, Any]) -> Heard:
        self._begin(Growing(Kind.OTHER, item=item))
        return Heard(Kind.OTHER, is_new=True, item=item)

    def _hear_call(self, sent: wire.ToolCall) -> Heard:
        call = next((call for call in reversed(self.calls) if call.is_meant(sent)), None)
        if call is None or call.is_followed_by(sent):
            call = GrowingCall(self._call_id(sent), sent.id, sent.index)
            self.calls.append(call)
        if sent.function is None or call.is_closed:
            return Heard(Kind.CALL, call=call)
        if sent.function.name and call.name is None:
            self._name_call(call, sent.function.name)
        if sent.function.arguments is not None:
            call.pieces.append(arguments_text(sent.function.arguments))
        return Heard(Kind.CALL, call=call)

    def _call_id(self, sent: wire.ToolCall) -> str:
        """Return the id of a call that begins: one of ours, if the engine gave none, or that of another call."""
        if not sent.id or any(call.call_id == sent.id for call in self.calls):
            return self._new_id("call")
        return sent.id

    def _name_call(self, call: GrowingCall, name: str) -> None:
        """Call it so. Whether the caller may have it is known from here on, and where it stands."""
        call.name = name
        call.is_forbidden = not self._manner.takes_call(name, self._allowed)
        if not call.is_forbidden:
            self._allowed += 1
            self._begin(Growing(Kind.CALL, call=call))
            self._open_calls.append(call)

    def end(self) -> list[Heard]:
        """Return what is left to hear of an engine that has said all: calls without a name never get one."""
        heard = self.flush()
        for call in self.calls:
            if call.name is None:
                self._name_call(call, "")
                heard.append(Heard(Kind.CALL, is_new=True, call=call))
        return heard

    def take(self, message: wire.ChatMessage) -> None:
        """Hear a message that came whole. An engine's thought that was never opened is known as such here."""
        for piece in message.in_order or ():
            self.take(piece)
        self._is_new_thought = self._is_new_thought or message.is_new_thought
        for kind, text in said_in(message):
            if kind is not Kind.TEXT or self._manner.tags is None:
                self._say(kind, text)
                continue
            is_opened = self._manner.begins_in_thought and not self._said
            whole = think.opened(text, self._manner.tags) if is_opened else text
            for is_thought, said in think.parts(whole, self._manner.tags):
                self._say(Kind.THOUGHT if is_thought else Kind.TEXT, said, is_tagged=is_thought, is_new=is_thought)
        if message.output_item is not None:
            self._show(message.output_item)
        for sent in _calls_in(message):
            if sent.function is not None:
                call = GrowingCall(self._call_id(sent))
                call.pieces.append(arguments_text(sent.function.arguments))
                self.calls.append(call)
                self._name_call(call, sent.function.name or "")

    def generation(self) -> Generation:
        """Return what was generated."""
        said = [piece.said() for piece in self._said]
        found = Generation.of(
            said,
            finish_reason=self.finish_reason,
            usage=self.usage,
            forbidden=sum(call.is_forbidden for call in self.calls),
        )
        tags = self._manner.tags
        if tags is not None and tags.closing in found.text:  # of a stream: it came too late to be told apart
            thoughts, found.text = think.split(found.text, tags)
            found.thoughts += thoughts
        return found


def _calls_in(message: wire.ChatMessage) -> Sequence[wire.ToolCall]:
    """Return the calls of a message, also in the form before `tool_calls`."""
    if message.function_call and not message.tool_calls:
        return [wire.ToolCall(function=message.function_call)]
    return message.tool_calls or ()


def read(completion: wire.ChatCompletion, manner: Manner, new_id: IdMaker) -> Generation:
    """Return what the first choice holds; by kind, unless its engine speaks Responses and tells an order."""
    choice = completion.choices[0]
    gathering = Gathering(manner, new_id)
    gathering.finish_reason = choice.finish_reason or ""
    gathering.usage = usage(completion.usage)
    gathering.read_logprobs(choice.logprobs)
    gathering.take(choice.message)
    found = gathering.generation()
    if choice.message.in_order is None:
        found.said = by_kind(found.said)
    return found


def decode(data: bytes) -> wire.ChatChunk:
    """Return the chunk.

    Raises:
        BadAnswerError: if it is none.
        ToldError: if it is an error, with the engine's words.
    """
    try:
        chunk = _read_chunk(data)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is not a chat completion: {error}") from None
    if chunk.is_error:
        raise told(data)
    return chunk


def told(data: bytes) -> ToldError:
    """Return the error that an engine's event is, with its words."""
    said = wire.engine_error(data)
    message = said.message or "The engine broke its answer off, and does not say why."
    return ToldError(message, told_status=said.code if type(said.code) is int else None)


def _read_chunk(data: bytes) -> wire.ChatChunk:
    """Return the chunk. Some servers send null (`"choices": null` beside the usage) where vLLM leaves a field out."""
    try:
        return _chunk_decoder.decode(data)
    except msgspec.ValidationError:
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), wire.ChatChunk)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
