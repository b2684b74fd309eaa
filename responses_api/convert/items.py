"""Input items of the Responses API to the messages of a chat completion, one function a kind. Pure.

What the assistant did in a row (reasoning, messages, function calls) becomes one assistant message, because that is how
chat templates see a turn; any other message ends the row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from responses_api import wire
from responses_api.convert import parts, think
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import RequestError, UnsupportedError

Item = dict[str, Any]
Message = dict[str, Any]

BETWEEN_THOUGHTS = "\n\n"


class InputMessage(msgspec.Struct):
    """A message of the user, the system or the developer."""

    role: Literal["user", "system", "developer"]
    content: str | list[dict[str, Any]]


class OutputMessage(msgspec.Struct):
    """A message of the assistant."""

    content: str | list[dict[str, Any]] | None = None


class FunctionCall(msgspec.Struct):
    """A call that the assistant made."""

    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(msgspec.Struct):
    """What a call returned."""

    call_id: str
    output: str | list[dict[str, Any]]


class ReasoningText(msgspec.Struct):
    """A part of a reasoning item, in `summary` or in `content`."""

    text: str = ""


class Reasoning(msgspec.Struct):
    """What the assistant thought."""

    summary: list[ReasoningText] = []
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


@dataclass(slots=True)
class Turn:
    """What the assistant did in a row: thoughts and words in their order, and calls."""

    said: list[tuple[bool, str]] = field(default_factory=list)  # (is it a thought, the text)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def message(self, *, thoughts_apart: bool) -> Message:
        """Return the chat message: thoughts in fields of their own, or as tags where they were thought."""
        message = apart(self.said) if thoughts_apart else _inline(self.said)
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def _inline(said: list[tuple[bool, str]]) -> Message:
    content = "".join(think.wrap(text) if is_thought else text for is_thought, text in said)
    return {"role": "assistant", "content": content or None}


def apart(said: list[tuple[bool, str]]) -> Message:
    """Return an assistant message whose thoughts, tagged ones included, stand beside its content.

    They go under both names: `reasoning` is vLLM's, `reasoning_content` what older ones and other servers read.
    """
    thoughts: list[str] = []
    spoken: list[str] = []
    for is_thought, text in said:
        found, rest = ([text], "") if is_thought else think.split(text)
        thoughts += found
        spoken.append(rest)
    content = "".join(spoken)
    reasoning = BETWEEN_THOUGHTS.join(filter(None, thoughts))
    if not reasoning:
        return {"role": "assistant", "content": content or None}
    return {"role": "assistant", "content": content, "reasoning_content": reasoning, "reasoning": reasoning}


@dataclass(slots=True)
class Transcript:
    """The messages so far, and the assistant's turn that may go on."""

    settings: ProfileSettings
    messages: list[Message] = field(default_factory=list)
    turn: Turn | None = None
    call_ids: set[str] = field(default_factory=set)

    def assistant(self) -> Turn:
        """Return the assistant's turn, beginning one if need be."""
        if self.turn is None:
            self.turn = Turn()
        return self.turn

    def add(self, message: Message) -> None:
        """End the assistant's turn and add somebody else's message."""
        self.end_turn()
        self.messages.append(message)

    def end_turn(self) -> None:
        """Write the assistant's turn down, if there is one."""
        if self.turn is not None:
            self.messages.append(self.turn.message(thoughts_apart=self.settings.uses_reasoning_parser))
            self.turn = None


def _message(item: Item, at: str, transcript: Transcript) -> None:
    if item.get("role") == "assistant":
        _assistant_message(item, at, transcript)
        return
    read = wire.read(item, InputMessage, at)
    content = read.content
    if not isinstance(content, str):
        content = parts.read_all(content, parts.INPUT, f"{at}.content")
    transcript.add({"role": read.role, "content": content})


def _assistant_message(item: Item, at: str, transcript: Transcript) -> None:
    if item.get("tool_calls"):
        raise UnsupportedError("Give tool calls as items of type 'function_call'.", param=f"{at}.tool_calls")
    content = wire.read(item, OutputMessage, at).content
    if content is None or isinstance(content, str):
        texts = [content or ""]
    else:
        texts = [part["text"] for part in parts.read_all(content, parts.OUTPUT, f"{at}.content")]
    transcript.assistant().said += [(False, text) for text in texts]


def _function_call(item: Item, at: str, transcript: Transcript) -> None:
    call = wire.read(item, FunctionCall, at)
    transcript.call_ids.add(call.call_id)
    function = {"name": call.name, "arguments": call.arguments}
    transcript.assistant().calls.append({"id": call.call_id, "type": "function", "function": function})


def _function_call_output(item: Item, at: str, transcript: Transcript) -> None:
    read = wire.read(item, FunctionCallOutput, at)
    if read.call_id not in transcript.call_ids:
        raise RequestError(
            f"No tool call found for function call output with call_id {read.call_id}.", param=f"{at}.call_id"
        )
    output = read.output
    if not isinstance(output, str):
        output = parts.read_all(output, parts.TOOL_OUTPUT, f"{at}.output")
    transcript.add({"role": "tool", "tool_call_id": read.call_id, "content": output})


def _reasoning(item: Item, at: str, transcript: Transcript) -> None:
    """Take the thoughts themselves if they are there, else their summary: where this gateway puts them."""
    reasoning = wire.read(item, Reasoning, at)
    texts = [part.text for part in reasoning.content or [] if part.text]
    texts = texts or [part.text for part in reasoning.summary if part.text]
    if not texts and reasoning.encrypted_content:
        raise UnsupportedError(
            "Encrypted reasoning can only be read by the server that wrote it.", param=f"{at}.encrypted_content"
        )
    transcript.assistant().said += [(True, text) for text in texts]


ITEMS: Mapping[str, Callable[[Item, str, Transcript], None]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _function_call_output,
    "reasoning": _reasoning,
}


def messages(given: str | list[Item], instructions: str | None, settings: ProfileSettings) -> list[Message]:
    """Return the chat messages of an input.

    Raises:
        RequestError: naming the item that is malformed, unknown or out of place.
    """
    if isinstance(given, str):
        found: list[Message] = [{"role": "user", "content": [{"type": "text", "text": given}]}]
    else:
        transcript = Transcript(settings)
        for index, item in enumerate(given):
            at = f"input[{index}]"
            # An item with a role and no type is a message: OpenAI's "easy" form.
            kind = item.get("type") or ("message" if "role" in item else None)
            reader = ITEMS.get(kind) if isinstance(kind, str) else None
            if reader is None:
                raise parts.unknown_kind(kind, ITEMS, f"{at}.type")
            reader(item, at, transcript)
        transcript.end_turn()
        found = transcript.messages
    if instructions:
        found = fold_instructions(instructions, found)
    if settings.developer_becomes_system:
        found = [{**message, "role": "system"} if message["role"] == "developer" else message for message in found]
    return found


def fold_instructions(instructions: str, found: list[Message]) -> list[Message]:
    """Return the messages behind one system message: the instructions, and the run of system and developer messages
    that the input begins with. Chat templates take one system message, at the start.
    """
    texts = [instructions]
    for message in found:
        text = _system_text(message)
        if text is None:
            break
        texts.append(text)
    return [{"role": "system", "content": "\n\n".join(texts)}, *found[len(texts) - 1 :]]


def _system_text(message: Message) -> str | None:
    if message["role"] not in {"system", "developer"}:
        return None
    content = message["content"]
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        return None
    return "".join(part["text"] for part in content)
