"""Input items of the Responses API to the messages of a chat completion, one function a kind. Pure.

Turns in the shape of chat completions are taken too: `role: tool`, and an assistant's inline `tool_calls`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from responses_api import wire
from responses_api.convert import custom, hosted, parts
from responses_api.convert.generation import arguments_text
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.seal import Seal, open_thoughts
from responses_api.convert.tools import engine_name
from responses_api.convert.transcript import TOKEN_IDS, Message, Transcript, folded, forgetful, token_ids
from responses_api.errors import ItemNotFoundError, RequestError, UnsupportedError

Item = dict[str, Any]
ADDITIONAL_TOOLS = "additional_tools"


class InputMessage(msgspec.Struct):
    """A message of the user, the system or the developer."""

    role: Literal["user", "system", "developer"]
    content: str | list[dict[str, Any]]


class ToolFunction(msgspec.Struct):
    """The function of an inline tool call."""

    name: str
    arguments: str | dict[str, Any] | None = None


class InlineCall(msgspec.Struct):
    """An inline tool call, as chat completions write it."""

    id: str
    function: ToolFunction


class AssistantMessage(msgspec.Struct):
    """A message of the assistant."""

    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[InlineCall] | None = None


class ToolMessage(msgspec.Struct):
    """What a call returned, as chat completions write it."""

    tool_call_id: str
    content: str | list[dict[str, Any]]


class FunctionCall(msgspec.Struct):
    """A call that the assistant made."""

    call_id: str
    name: str
    arguments: str | dict[str, Any]
    namespace: str | None = None


class CustomCall(msgspec.Struct):
    """A call of a custom tool."""

    call_id: str
    name: str
    input: str
    namespace: str | None = None


class CallOutput(msgspec.Struct):
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


class Compaction(msgspec.Struct):
    """The summary of what was said before, under seal."""

    encrypted_content: str


def _message(item: Item, at: str, transcript: Transcript) -> None:
    role = item.get("role")
    if role == "assistant":
        _assistant_message(item, at, transcript)
    elif role == "tool":
        tool = wire.read(item, ToolMessage, at)
        content = _content(tool.content, parts.TOOL_OUTPUT, f"{at}.content")
        transcript.add_output(tool.tool_call_id, content, f"{at}.tool_call_id")
    else:
        read = wire.read(item, InputMessage, at)
        transcript.add({"role": read.role, "content": _content(read.content, parts.INPUT, f"{at}.content")})


def _content(given: str | list[parts.Part], readers: Mapping[str, parts.PartReader], at: str) -> str | list[parts.Part]:
    return given if isinstance(given, str) else parts.read_all(given, readers, at)


def _assistant_message(item: Item, at: str, transcript: Transcript) -> None:
    read = wire.read(item, AssistantMessage, at)
    turn = transcript.assistant()
    if thought := read.reasoning_content or read.reasoning:
        turn.said.append((True, thought))
    if isinstance(read.content, str):
        turn.said.append((False, read.content))
    else:
        spoken = parts.read_all(read.content or [], parts.OUTPUT, f"{at}.content")
        turn.said += [(False, part["text"]) for part in spoken]
    for call in read.tool_calls or ():
        transcript.add_call(call.id, call.function.name, arguments_text(call.function.arguments))
    _note_token_ids(item, at, transcript)


def _note_token_ids(item: Item, at: str, transcript: Transcript) -> None:
    """Keep the numbers of the tokens of the assistant's turn, if the item holds any: the last ones stand."""
    if any(name in item for name in TOKEN_IDS) and (found := token_ids(item, at)):
        transcript.assistant().token_ids = found


def _function_call(item: Item, at: str, transcript: Transcript) -> None:
    call = wire.read(item, FunctionCall, at)
    transcript.add_call(call.call_id, engine_name(call.name, call.namespace), arguments_text(call.arguments))
    _note_token_ids(item, at, transcript)


def _custom_tool_call(item: Item, at: str, transcript: Transcript) -> None:
    call = wire.read(item, CustomCall, at)
    transcript.add_call(call.call_id, engine_name(call.name, call.namespace), custom.arguments(call.input))
    _note_token_ids(item, at, transcript)


def _call_output(item: Item, at: str, transcript: Transcript) -> None:
    read = wire.read(item, CallOutput, at)
    transcript.add_output(read.call_id, _content(read.output, parts.TOOL_OUTPUT, f"{at}.output"), f"{at}.call_id")


def _reasoning(item: Item, at: str, transcript: Transcript) -> None:
    transcript.assistant().said += [(True, text) for text in thoughts(item, at, transcript.seal)]
    _note_token_ids(item, at, transcript)


def thoughts(item: Item, at: str, seal: Seal | None) -> list[str]:
    """Return what a reasoning item holds: the thoughts themselves, or else those under our own seal, or else their
    summary, which is where this gateway puts them.

    Raises:
        RequestError: if there is nothing of it but what somebody else has sealed.
    """
    read = wire.read(item, Reasoning, at)
    found = [part.text for part in read.content or [] if part.text]
    found = found or [text for text in open_thoughts(seal, read.encrypted_content) or () if text]
    found = found or [part.text for part in read.summary if part.text]
    if not found and read.encrypted_content and open_thoughts(seal, read.encrypted_content) is None:
        raise foreign_seal(f"{at}.encrypted_content")
    return found


def foreign_seal(param: str) -> RequestError:
    """Return what to say of content that was not sealed for this caller."""
    return RequestError(
        "This content was not written by this server for this key, or was changed since.",
        param=param,
        code="invalid_encrypted_content",
    )


SUMMARY = "This is a summary of the conversation so far, which it replaces:\n\n"


def _compaction(item: Item, at: str, transcript: Transcript) -> None:
    """Take the summary for the user's words: it may quote tools, so it gets no more say than they have."""
    transcript.add({"role": "user", "content": SUMMARY + unsealed(item, at, transcript.seal)})


def unsealed(item: Item, at: str, seal: Seal | None) -> str:
    """Return the summary in a compaction item. Raises RequestError if it was not sealed for this caller."""
    sealed = wire.read(item, Compaction, at).encrypted_content
    try:
        summary = seal.open(sealed) if seal is not None else None
    except ValueError:
        summary = None
    if summary is None:
        raise foreign_seal(f"{at}.encrypted_content")
    return summary


def _reference(item: Item, at: str, _transcript: Transcript) -> None:
    """Those that can be found were put in the place of their references before."""
    raise ItemNotFoundError(str(item.get("id")), param=f"{at}.id")


def _additional_tools(_item: Item, _at: str, _transcript: Transcript) -> None:
    """Nothing is said here: the tools were offered with the others."""


def _unreadable(item: Item, at: str, _transcript: Transcript) -> None:
    raise UnsupportedError(f"No engine can be told of items of type '{item['type']}'.", param=f"{at}.type")


# They steer OpenAI's own machinery, which is not here.
UNREADABLE = (
    "configuration_update",
    "compaction_trigger",
    "tool_search_call",
    "tool_search_output",
    "program",
    "program_output",
)
ITEMS: Mapping[str, Callable[[Item, str, Transcript], None]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _call_output,
    "custom_tool_call": _custom_tool_call,
    "custom_tool_call_output": _call_output,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "item_reference": _reference,
    ADDITIONAL_TOOLS: _additional_tools,
    **hosted.ITEMS,
    **dict.fromkeys(UNREADABLE, _unreadable),
}


class AdditionalTools(msgspec.Struct):
    """Tools that are offered from an item on; to engines, from the beginning."""

    tools: list[dict[str, Any]]


def additional_tools(items: Sequence[Item], at: str, first: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Return the tools that items hold, and where each stands; the items stand `at`, from `first` on. Raises
    RequestError.
    """
    return [
        (f"{at}[{index}].tools[{number}]", tool)
        for index, item in enumerate(items, start=first)
        if item.get("type") == ADDITIONAL_TOOLS
        for number, tool in enumerate(wire.read(item, AdditionalTools, f"{at}[{index}]").tools)
    ]


def current_turn(items: Sequence[Item]) -> int:
    """Return where the current turn begins: with the last message of the user."""
    return next((place for place in range(len(items) - 1, -1, -1) if items[place].get("role") == "user"), 0)


def as_items(given: str | list[Item]) -> list[Item]:
    """Return an input as items: text alone is a message of the user."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return given


def messages(
    given: str | list[Item],
    instructions: str | None,
    settings: ProfileSettings,
    history: Sequence[Item] = (),
    seal: Seal | None = None,
    *,
    history_at: str = "previous_response_id",
    forgets_thoughts: bool = False,
) -> list[Message]:
    """Return the chat messages of an input. `history` holds the items of earlier turns, which stand before it, and
    which the request names by `history_at`; `seal` opens what the caller kept for us. It `forgets_thoughts` of earlier
    turns if that is wanted.

    Raises:
        RequestError: naming the item that is malformed, unknown or out of place.
    """
    if isinstance(given, str) and not history:
        found: list[Message] = [{"role": "user", "content": [{"type": "text", "text": given}]}]
    else:
        transcript, forgetting = Transcript(settings, seal), forgetful(settings) if forgets_thoughts else settings
        items = [*history, *as_items(given)]
        current = current_turn(items) - len(history) if forgets_thoughts else -len(history)
        for index, item in enumerate(items, start=-len(history)):
            if index == current:
                transcript.end_turn()
            transcript.settings = settings if index >= current else forgetting
            at = f"{'input' if index >= 0 else history_at}[{index}]"
            # An item with a role and no type is a message: OpenAI's "easy" form.
            kind = item.get("type") or ("message" if "role" in item else None)
            reader = ITEMS.get(kind) if isinstance(kind, str) else None
            if reader is None:
                raise parts.unknown_kind(kind, ITEMS, f"{at}.type")
            reader(item, at, transcript)
        transcript.end_turn()
        found = transcript.messages
    found = folded(instructions, found)
    if settings.replace_developer_role_with_system:
        found = [{**message, "role": "system"} if message["role"] == "developer" else message for message in found]
    return found
