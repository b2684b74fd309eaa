"""What was generated as a response resource of the Responses API. Pure.

All 31 fields of the Open Responses contract are always there, with the values that were in effect. Fields that the
contract allows to be absent but not null (`logprobs`, a reasoning item's `content`) are absent.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from responses_api.convert import custom, kept
from responses_api.convert.generation import Call, Generation, IdMaker, Kind, Said, Usage
from responses_api.convert.manner import Manner
from responses_api.convert.seal import Seal, close_thoughts
from responses_api.convert.tools import Restored, Toolbox
from responses_api.errors import GatewayError
from responses_api.wire import ResponsesRequest

# An engine's reasons to end that cut the answer short, and what the API calls them.
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# Reasons that are no end of the model's own: the engine gave up on it.
FAILED = frozenset({"abort", "error"})
# Our codes of errors that a response has too. The others are `server_error` there: clients know a fixed list, and the
# message and the ledger tell more.
CODES = {
    "context_length_exceeded": "context_length_exceeded",
    "rate_limit_exceeded": "rate_limit_exceeded",
    "engine_refused": "invalid_prompt",
}
PLAIN = Manner()
_NUMBERS = (int, float)
# How ids of items begin that engines write themselves, of tools that ran on their side.
OTHER_PREFIXES = {
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "custom_tool_call": "ctc",
}

# The parts of an item, by the field that holds them.
Shelves = dict[str, list[dict[str, Any]]]
# The fields of a reasoning item, and those of them that hold the thoughts, by `reasoning_shown_as`.
SHELVES: Mapping[str, tuple[str, ...]] = {
    "summary": ("summary",),
    "content": ("summary", "content"),
    "both": ("summary", "content"),
}


class Stamp(NamedTuple):
    """What pure code cannot make: ids and times (seconds since 1970)."""

    response_id: str
    created_at: int
    completed_at: int
    new_id: IdMaker


def answered(head: dict[str, Any], manner: Manner, generation: Generation, stamp: Stamp) -> dict[str, Any]:
    """Return the resource for a generation. `head` holds the fields that do not depend on it."""
    output = _output(generation, manner, stamp.new_id)
    if (status := last_status(generation.finish_reason, manner)) != "completed":
        output[-1]["status"] = status
    return {**head, **ended(generation.finish_reason, manner, output, generation.usage, stamp.completed_at)}


def cut_off(finish_reason: str, manner: Manner) -> str | None:
    """Return why the answer is incomplete; None if it is not."""
    if manner.length_is_completed and finish_reason == "length":
        return None
    return INCOMPLETE.get(finish_reason)


def last_status(finish_reason: str, manner: Manner) -> str:
    """Return the status of the last item: the contract says that what was cut off, or given up on, is that."""
    return "incomplete" if finish_reason in FAILED or cut_off(finish_reason, manner) else "completed"


def ended(
    finish_reason: str, manner: Manner, output: list[dict[str, Any]], usage: Usage | None, completed_at: int | None
) -> dict[str, Any]:
    """Return the fields that tell how the engine ended, and with what."""
    reason = cut_off(finish_reason, manner)
    failed = finish_reason in FAILED
    return {
        "completed_at": None if reason or failed else completed_at,
        "status": "failed" if failed else "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": _error(f"The engine ended the generation: {finish_reason}.") if failed else None,
        "output": output,
        "usage": usage_of(usage),
    }


def begun() -> dict[str, Any]:
    """Return the fields of a resource that is still being generated."""
    return {
        "completed_at": None,
        "status": "in_progress",
        "incomplete_details": None,
        "error": None,
        "output": [],
        "usage": None,
    }


def broken(error: GatewayError, output: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
    """Return the fields of a resource whose generation broke off."""
    told = _error(error.message, CODES.get(error.code or "", "server_error"))
    return {**begun(), "status": "failed", "error": told, "output": output, "usage": usage_of(usage)}


def emptied(head: dict[str, Any], stamp: Stamp, reason: str = "length") -> dict[str, Any]:
    """Return the empty answer, to a prompt that does not fit: one message with empty text, cut off, without usage.

    Its item is `completed` in a response that is not: rollout harnesses know the empty answer by exactly this form.
    It is incomplete in every manner.
    """
    return {**head, **ended(reason, PLAIN, _output(Generation(), PLAIN, stamp.new_id), None, None)}


def head(request: ResponsesRequest, chat: dict[str, Any], toolbox: Toolbox, model: str, stamp: Stamp) -> dict[str, Any]:
    """Return the fields that do not depend on what was generated. Sampling is echoed as it was in effect: from the
    engine's request `chat`, which holds the profile's values too. `model` is the profile's name.
    """
    cap = chat.get("max_completion_tokens") or chat.get("max_tokens")
    return {
        "id": stamp.response_id,
        "object": "response",
        "created_at": stamp.created_at,
        "model": model,
        "previous_response_id": request.previous_response_id,
        "instructions": request.instructions,
        "tools": toolbox.echo,
        "tool_choice": _choice(request.tool_choice),
        "truncation": request.truncation or "disabled",
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "text": _text_config(request),
        "top_p": _number(chat, "top_p", 1.0),
        "presence_penalty": _number(chat, "presence_penalty", 0.0),
        "frequency_penalty": _number(chat, "frequency_penalty", 0.0),
        "top_logprobs": request.top_logprobs or 0,
        "temperature": _number(chat, "temperature", 1.0),
        "reasoning": _reasoning_config(request),
        "max_output_tokens": cap if isinstance(cap, int) else None,
        "max_tool_calls": request.max_tool_calls,
        "store": bool(request.store),
        "background": bool(request.background),
        "service_tier": "default",
        "metadata": request.metadata or {},
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        **({"user": request.user} if request.user else {}),
        **({"conversation": {"id": kept.conversation_id(request.conversation)}} if request.conversation else {}),
    }


def _number(chat: dict[str, Any], name: str, default: float) -> float:
    value: Any = chat.get(name)
    return value if type(value) in _NUMBERS else default


def _choice(given: str | dict[str, Any] | None) -> str | dict[str, Any]:
    """Return the tool choice that was asked for, with all the fields that the contract wants of its kind."""
    if isinstance(given, dict) and given.get("type") == "allowed_tools":
        return {"mode": "auto", **given}
    return given or "auto"


def _text_config(request: ResponsesRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"format": _format((request.text and request.text.format) or {"type": "text"})}
    if request.text and request.text.verbosity:
        config["verbosity"] = request.text.verbosity
    return config


def _format(given: dict[str, Any]) -> dict[str, Any]:
    """Return the text format that was asked for, with all the fields that the contract wants of its kind."""
    if given.get("type") != "json_schema":
        return given
    return {"description": None, **given, "strict": bool(given.get("strict"))}


def _reasoning_config(request: ResponsesRequest) -> dict[str, Any] | None:
    asked = request.reasoning
    if asked is None:
        return None
    config: dict[str, Any] = {"effort": asked.effort, "summary": asked.summary or asked.generate_summary}
    if asked.context is not None:
        config["context"] = "all_turns" if asked.context == "auto" else asked.context
    return config


def _output(generation: Generation, manner: Manner, new_id: IdMaker) -> list[dict[str, Any]]:
    """Return the items, in the order of the pieces. Thoughts that follow each other are parts of one, and so are a text
    and a refusal. There is a message unless something else was said.
    """
    items: list[dict[str, Any]] = []
    for said in generation.said:
        if said.kind is Kind.THOUGHT:
            if not items or items[-1]["type"] != "reasoning":
                items.append(reasoning_item(new_id("rs"), {shelf: [] for shelf in SHELVES[manner.shown_as]}))
            _add_thought(items[-1], said.text, manner.shown_as)
        elif said.call is not None:
            tool = manner.toolbox.restore(said.call.name)
            items.append(call_item(new_id(call_prefix(tool)), said.call, tool))
        elif said.item is not None:
            items.append(other_item(said.item, new_id))
        elif items and items[-1]["type"] == "message":
            items[-1]["content"].append(_part(said))
        else:
            items.append(message_item(new_id("msg"), {"content": [_part(said)]}))
    if manner.seal is not None:
        items = [sealed(item, manner.seal) if item["type"] == "reasoning" else item for item in items]
    if not items:
        nothing = Said(Kind.TEXT, logprobs=[] if manner.wants_logprobs else None)
        items.append(message_item(new_id("msg"), {"content": [_part(nothing)]}))
    items[-1] |= generation.tokens  # of the whole answer, whatever its items
    return items


def _add_thought(item: dict[str, Any], thought: str, shown_as: str) -> None:
    if shown_as != "content":
        item["summary"].append(thought_part(thought))
    if shown_as != "summary":
        item["content"].append(reasoning_part(thought))


def _part(said: Said) -> dict[str, Any]:
    if said.kind is Kind.REFUSAL:
        return refusal_part(said.text)
    part = text_part(said.text)
    if said.logprobs is not None:
        part["logprobs"] = said.logprobs
    return part


def thought_part(text: str) -> dict[str, Any]:
    """Return a thought as the summary of a reasoning item holds it."""
    return {"type": "summary_text", "text": text}


def reasoning_part(text: str) -> dict[str, Any]:
    """Return a thought as the content of a reasoning item holds it."""
    return {"type": "reasoning_text", "text": text}


def text_part(text: str) -> dict[str, Any]:
    """Return text as messages hold it."""
    return {"type": "output_text", "text": text, "annotations": []}


def refusal_part(text: str) -> dict[str, Any]:
    """Return a refusal as messages hold it."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(item_id: str, shelves: Shelves, status: str = "completed") -> dict[str, Any]:
    """Return what the model thought."""
    return {"id": item_id, "type": "reasoning", "status": status, **shelves}


def sealed(item: dict[str, Any], seal: Seal) -> dict[str, Any]:
    """Return a reasoning item that holds its thoughts under seal too."""
    thoughts = [part["text"] for part in item.get("content") or item["summary"]]
    return {**item, "encrypted_content": close_thoughts(seal, thoughts)}


def reasoning_writer(seal: Seal | None) -> Callable[[str, Shelves, str], dict[str, Any]]:
    """Return what writes reasoning items: those that have ended under seal too, if there is one."""
    if seal is None:
        return reasoning_item

    def write(item_id: str, shelves: Shelves, status: str) -> dict[str, Any]:
        item = reasoning_item(item_id, shelves, status)
        return item if status == "in_progress" else sealed(item, seal)

    return write


def message_item(item_id: str, shelves: Shelves, status: str = "completed") -> dict[str, Any]:
    """Return what the model said."""
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, **shelves}


def call_prefix(tool: Restored) -> str:
    """Return how the ids of a tool's calls begin."""
    return "ctc" if tool.is_custom else "fc"


def call_item(item_id: str, call: Call, tool: Restored, status: str = "completed") -> dict[str, Any]:
    """Return a call of a tool, as the caller knows the tool."""
    item = {
        "id": item_id,
        "type": "custom_tool_call" if tool.is_custom else "function_call",
        "status": status,
        "call_id": call.call_id,
        "name": tool.name,
    }
    if tool.is_custom:
        item["input"] = custom.input_of(call.arguments)
    else:
        item["arguments"] = call.arguments
    if tool.namespace:
        item["namespace"] = tool.namespace
    return item


def other_item(item: dict[str, Any], new_id: IdMaker) -> dict[str, Any]:
    """Return an item of an engine that speaks Responses as it is, under an id by which it can be found again."""
    prefix = OTHER_PREFIXES.get(str(item.get("type")), "item")
    return {**item, "id": new_id(prefix), "status": item.get("status") or "completed"}


def _error(message: str, code: str = "server_error") -> dict[str, Any]:
    return {"code": code, "message": message}


def usage_of(usage: Usage | None) -> dict[str, Any] | None:
    """Return the usage with all its fields, or none: clients stumble over half of it."""
    if usage is None:
        return None
    taken, given = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": taken,
        # The openai package's model requires cache_write_tokens; engines have no such thing.
        "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": taken + given,
    }
