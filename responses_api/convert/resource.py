"""What was generated as a response resource of the Responses API. Pure.

All 31 fields of the Open Responses contract are always there, with the values that were in effect. Fields that the
contract allows to be absent but not null (`logprobs`, a reasoning item's `content`) are absent.
"""

from dataclasses import dataclass
from typing import Any

from responses_api.convert import tools
from responses_api.convert.generation import Call, Generation, IdMaker, Usage
from responses_api.wire import ResponsesRequest

# An engine's reasons to end that cut the answer short, and what the API calls them.
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# Reasons that are no end of the model's own: the engine gave up on it.
FAILED = frozenset({"abort", "error"})


@dataclass(frozen=True, slots=True)
class Stamp:
    """What pure code cannot make: ids and times (seconds since 1970)."""

    response_id: str
    created_at: int
    completed_at: int
    new_id: IdMaker


def answered(
    request: ResponsesRequest, chat: dict[str, Any], model: str, generation: Generation, stamp: Stamp
) -> dict[str, Any]:
    """Return the resource for a generation. `chat` is the body that the engine was sent, `model` the profile's name."""
    output = _output(generation, stamp.new_id)
    if generation.finish_reason in INCOMPLETE:
        output[-1]["status"] = "incomplete"  # the contract: what was cut off is the last item
    end = ended(generation.finish_reason, output, generation.usage, stamp.completed_at)
    return {**head(request, chat, model, stamp), **end}


def ended(
    finish_reason: str, output: list[dict[str, Any]], usage: Usage | None, completed_at: int | None
) -> dict[str, Any]:
    """Return the fields that tell how the engine ended, and with what."""
    reason = INCOMPLETE.get(finish_reason)
    failed = finish_reason in FAILED
    return {
        "completed_at": None if reason or failed else completed_at,
        "status": "failed" if failed else "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": _error(f"The engine ended the generation: {finish_reason}.") if failed else None,
        "output": output,
        "usage": _usage(usage),
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


def broken(message: str, output: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
    """Return the fields of a resource whose generation broke off."""
    return {**begun(), "status": "failed", "error": _error(message), "output": output, "usage": _usage(usage)}


def emptied(request: ResponsesRequest, chat: dict[str, Any], model: str, stamp: Stamp) -> dict[str, Any]:
    """Return the empty answer to a prompt that does not fit: one message with empty text, cut off, without usage.

    Its item is `completed` in a response that is not: rollout harnesses know the empty answer by exactly this form.
    """
    end = ended("length", [_message(Generation(), stamp.new_id)], None, None)
    return {**head(request, chat, model, stamp), **end}


def head(request: ResponsesRequest, chat: dict[str, Any], model: str, stamp: Stamp) -> dict[str, Any]:
    """Return the fields that do not depend on what was generated. Sampling is echoed as it was in effect: from the
    engine's request, which holds the profile's values too.
    """
    cap = chat.get("max_tokens")
    return {
        "id": stamp.response_id,
        "object": "response",
        "created_at": stamp.created_at,
        "model": model,
        "previous_response_id": None,
        "instructions": request.instructions,
        "tools": [_tool(tool) for tool in tools.read_tools(request.tools or [])],
        "tool_choice": request.tool_choice or "auto",
        "truncation": "disabled",
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "text": _text_config(request),
        "top_p": _number(chat, "top_p", 1.0),
        "presence_penalty": _number(chat, "presence_penalty", 0.0),
        "frequency_penalty": _number(chat, "frequency_penalty", 0.0),
        "top_logprobs": 0,
        "temperature": _number(chat, "temperature", 1.0),
        "reasoning": _reasoning_config(request),
        "max_output_tokens": cap if isinstance(cap, int) else None,
        "max_tool_calls": None,
        "store": False,  # nothing is kept that could be fetched later
        "background": False,
        "service_tier": "default",
        "metadata": request.metadata or {},
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        **({"user": request.user} if request.user else {}),
    }


def _number(chat: dict[str, Any], name: str, default: float) -> float:
    value = chat.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _tool(tool: tools.FunctionTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }


def _text_config(request: ResponsesRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"format": (request.text and request.text.format) or {"type": "text"}}
    if request.text and request.text.verbosity:
        config["verbosity"] = request.text.verbosity
    return config


def _reasoning_config(request: ResponsesRequest) -> dict[str, Any] | None:
    asked = request.reasoning
    if asked is None:
        return None
    return {"effort": asked.effort, "summary": asked.summary or asked.generate_summary}


def _output(generation: Generation, new_id: IdMaker) -> list[dict[str, Any]]:
    """Return the items: reasoning, message, function calls. There is a message unless something else was said."""
    items: list[dict[str, Any]] = []
    if generation.thoughts:
        items.append(reasoning_item(new_id("rs"), [thought_part(thought) for thought in generation.thoughts]))
    if generation.text or generation.refusal or not (generation.thoughts or generation.calls):
        items.append(_message(generation, new_id))
    return items + [call_item(new_id("fc"), call) for call in generation.calls]


def _message(generation: Generation, new_id: IdMaker) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if generation.text or not generation.refusal:
        content.append(text_part(generation.text))
    if generation.refusal:
        content.append(refusal_part(generation.refusal))
    return message_item(new_id("msg"), content)


def thought_part(text: str) -> dict[str, Any]:
    """Return a thought as reasoning items hold it."""
    return {"type": "summary_text", "text": text}


def text_part(text: str) -> dict[str, Any]:
    """Return text as messages hold it."""
    return {"type": "output_text", "text": text, "annotations": []}


def refusal_part(text: str) -> dict[str, Any]:
    """Return a refusal as messages hold it."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(item_id: str, summary: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """Return what the model thought."""
    return {"id": item_id, "type": "reasoning", "status": status, "summary": summary}


def message_item(item_id: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """Return what the model said."""
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(item_id: str, call: Call, status: str = "completed") -> dict[str, Any]:
    """Return a function that the model calls."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call.call_id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _error(message: str) -> dict[str, Any]:
    return {"code": "server_error", "message": message}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
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
