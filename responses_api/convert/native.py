"""A /v1/responses request for an engine that speaks Responses itself. Pure.

It goes nearly as it came. State is the gateway's own affair: the engine gets the whole conversation, and stores
nothing. What vLLM refuses although it is valid, or reads in part, is written in a way that it reads whole.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert import hosted
from responses_api.convert.items import ADDITIONAL_TOOLS, SUMMARY, Item, as_items, current_turn, thoughts, unsealed
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.seal import Seal
from responses_api.convert.side_channel import NOTHING, SideChannel, without
from responses_api.convert.tools import HOSTED, Toolbox
from responses_api.convert.transcript import BETWEEN_THOUGHTS, Transcript, forgetful
from responses_api.errors import ItemNotFoundError, RequestError, UnsupportedError

# The gateway's: state, how the answer travels, and what is left out of a conversation that does not fit. vLLM would cut
# it through the middle of a message.
OURS = frozenset(
    {"store", "background", "previous_response_id", "conversation", "stream", "stream_options", "truncation"}
)
# What of `reasoning` the gateway sees to.
OUR_REASONING = frozenset({"context", "mode"})
# How a profile's settings, which are named as chat completions name them, are called here.
RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
CAPS = frozenset({*RENAMED, *RENAMED.values()})
# What the resource shows as it was in effect, under the names of chat completions.
SHOWN = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs")


class CallId(msgspec.Struct):
    """What calls and their outputs have in common."""

    call_id: str


def to_engine(
    raw: Mapping[str, Any],
    given: str | list[Item],
    settings: ProfileSettings,
    toolbox: Toolbox,
    history: Sequence[Item] = (),
    seal: Seal | None = None,
    asked: SideChannel = NOTHING,
    *,
    history_at: str = "previous_response_id",
    forgets_thoughts: bool = False,
) -> dict[str, Any]:
    """Return the engine's request: `raw` is the caller's, `given` its input and `history` what stands before that,
    which it names by `history_at`; `asked` is what its metadata asks for. It `forgets_thoughts` of earlier turns if
    that is wanted.

    Raises:
        RequestError: naming what cannot be sent.
    """
    if asked.audio_data or asked.audio_paths:
        raise UnsupportedError("This model's engine takes audio in no metadata.", param="metadata")
    fields = {name: value for name, value in raw.items() if name not in OURS and name != "input"}
    if asked is not NOTHING:
        fields["metadata"] = without(fields["metadata"])
    if isinstance(reasoning := fields.get("reasoning"), dict):
        fields["reasoning"] = {name: value for name, value in reasoning.items() if name not in OUR_REASONING}
    body = _renamed(settings.laid_over(fields, asked, caps=CAPS))
    if toolbox.chat_tools or fields.get("tools"):
        hosted = [tool for tool in fields.get("tools") or () if tool.get("type") in HOSTED]
        body["tools"] = [*({"type": "function", **tool["function"]} for tool in toolbox.chat_tools), *hosted]
        if toolbox.choice is not None:
            body["tool_choice"] = _choice(toolbox.choice)
    else:
        body.pop("tool_choice", None)
    if history or not isinstance(given, str):
        transcript, said = Transcript(settings, seal), [*history, *as_items(given)]
        places = [
            f"{'input' if index >= 0 else history_at}[{index}]"
            for index in range(-len(history), len(said) - len(history))
        ]
        body["input"] = [*_adapted(said, places, transcript, forgets_thoughts=forgets_thoughts)]
    else:
        body["input"] = given
    # Fields that vLLM takes no null for may be null here, where it says the same as nothing.
    return {**{name: value for name, value in body.items() if value is not None}, "store": False}


def shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the resource shows of the engine's request, as a chat completion request would hold it."""
    found = {name: body[name] for name in SHOWN if name in body}
    return {**found, "max_tokens": body.get("max_output_tokens")}


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    for name, meant in RENAMED.items():
        if name in body:
            body[meant] = body.pop(name)
    return body


def _choice(choice: str | dict[str, Any]) -> str | dict[str, Any]:
    return choice if isinstance(choice, str) else {"type": "function", "name": choice["function"]["name"]}


def _adapted(items: list[Item], places: list[str], transcript: Transcript, *, forgets_thoughts: bool) -> Iterator[Item]:
    """Return the items, which stand at these places, as vLLM reads them whole. Of the transcript, the ids of calls are
    used, and whatever reads items of tools.
    """
    settings, forgetting = transcript.settings, forgetful(transcript.settings)
    current = current_turn(items) if forgets_thoughts else 0
    for index, (item, at) in enumerate(zip(items, places, strict=True)):
        transcript.settings = forgetting if index < current else settings
        kind = item.get("type") or "message"
        adapt = ADAPTED.get(kind) if isinstance(kind, str) else None
        if adapt is None:
            yield item
        else:
            yield from adapt(item, at, transcript)


def _call(item: Item, at: str, transcript: Transcript) -> list[Item]:
    transcript.call_ids.add(wire.read(item, CallId, at).call_id)
    return [item]


def _output(item: Item, at: str, transcript: Transcript) -> list[Item]:
    """Refuse the output of a call that nobody made, which vLLM would take."""
    transcript.add_output(wire.read(item, CallId, at).call_id, None, f"{at}.call_id")
    transcript.messages.clear()
    return [item]


def _message(item: Item, at: str, _transcript: Transcript) -> list[Item]:
    """Give the assistant's words one part: vLLM reads the first, and knows no refusals."""
    content = item.get("content")
    if item.get("role") != "assistant" or not isinstance(content, list):
        return [item]
    texts = [part.get("text") or part.get("refusal") for part in content if isinstance(part, dict)]
    if not all(isinstance(text, str | None) for text in texts):
        raise RequestError(f"Invalid type for '{at}.content': expected text.", param=f"{at}.content")
    part = {"type": "output_text", "text": "".join(text for text in texts if text), "annotations": []}
    return [{**item, "content": [part]}]


def _reasoning(item: Item, at: str, transcript: Transcript) -> list[Item]:
    """Give the thoughts one part: vLLM reads the first one of the content. They may not be wanted at all."""
    texts = thoughts(item, at, transcript.seal)
    if not texts or not transcript.settings.uses_interleaved_reasoning:
        return []
    content = [{"type": "reasoning_text", "text": BETWEEN_THOUGHTS.join(texts)}]
    return [{"type": "reasoning", "id": str(item.get("id") or "rs_0"), "summary": [], "content": content}]


def _compaction(item: Item, at: str, transcript: Transcript) -> list[Item]:
    return [{"type": "message", "role": "user", "content": SUMMARY + unsealed(item, at, transcript.seal)}]


def _tools(_item: Item, _at: str, _transcript: Transcript) -> list[Item]:
    """They are among the tools."""
    return []


def _reference(item: Item, at: str, _transcript: Transcript) -> list[Item]:
    raise ItemNotFoundError(str(item.get("id")), param=f"{at}.id")


def _hosted(item: Item, at: str, transcript: Transcript) -> list[Item]:
    """Show what a server's tool did as a function's call and output: vLLM reads no others, not even its own."""
    hosted.ITEMS[item["type"]](item, at, transcript)
    transcript.end_turn()
    told, transcript.messages = transcript.messages, []
    return [found for message in told for found in _functions(message)]


def _functions(message: dict[str, Any]) -> Iterator[Item]:
    for call in message.get("tool_calls") or ():
        yield {"type": "function_call", "call_id": call["id"], **call["function"]}
    if message["role"] == "tool":
        content = message["content"]
        if isinstance(content, list):
            content = [_image(**part["image_url"]) for part in content]  # a screenshot
        yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": content}


def _image(url: str, detail: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": detail}


ADAPTED: Mapping[str, Callable[[Item, str, Transcript], list[Item]]] = {
    "message": _message,
    "function_call": _call,
    "custom_tool_call": _call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "item_reference": _reference,
    ADDITIONAL_TOOLS: _tools,
    **dict.fromkeys(hosted.ITEMS, _hosted),
}
