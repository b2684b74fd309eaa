"""The Responses API as vLLM 0.32 itself serves it, its non-conformities included: vllm/entrypoints/openai/responses."""

from collections.abc import Iterator
from typing import Any

from tests.fakes.engine_chat import logprobs_of, text_of
from tests.fakes.engine_generation import REASONING, Asked, Choice, Prompt, Reply, Token, named_frame
from tests.fakes.engine_refusals import Refused, check_fields, invalid
from tests.fakes.engine_words import pieces_of

LOGPROBS = "message.output_text.logprobs"
# What vLLM adds to a tool of each type; other types come back as they are.
TOOL_FIELDS = {
    "function": ("parameters", "strict", "allowed_callers", "async", "defer_loading", "description", "output_schema"),
    "custom": ("allowed_callers", "async", "defer_loading", "description", "format"),
    "web_search": ("external_web_access", "filters", "search_context_size", "user_location"),
}
REASONING_FIELDS = ("context", "effort", "generate_summary", "mode", "summary")


def asked_of(body: dict[str, Any]) -> Asked:
    """Return what a request asks for; raise Refused where vLLM does."""
    check_fields(body, required=("input",))
    _check_state(body)
    items = _items(body)
    forced, by_name = _forced(body)
    return Asked(
        [_prompt(body, items)],
        limit=body.get("max_output_tokens"),
        limit_name="max_output_tokens",
        tools=_names(body),
        forced=forced,
        forced_by_name=by_name,
        result=result_of(items),
    )


def not_found(response_id: str) -> Refused:
    """Return the refusal of a response that nobody stored; nothing ever is."""
    message = f"Response with id '{response_id}' not found."
    return Refused(message, param="response_id", status=404, kind="invalid_request_error")


def _check_state(body: dict[str, Any]) -> None:
    if body.get("previous_response_id"):
        raise not_found(body["previous_response_id"])
    if body.get("background"):
        raise Refused(
            "This vLLM engine does not support `store=True` and therefore does not support the background mode. To "
            "enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching "
            "the vLLM server.",
            param="background",
            kind="invalid_request_error",
        )


def _items(body: dict[str, Any]) -> list[Any]:
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        if item.get("type") in {"item_reference", "compaction"}:
            raise invalid(f"Unsupported input item type: {item['type']}", param="input")
    return items


def _prompt(body: dict[str, Any], items: list[Any]) -> Prompt:
    texts = [body.get("instructions") or "", *map(_said, items)]
    return Prompt(pieces_of("\n".join(text for text in texts if text)), texts[-1])


def _said(item: dict[str, Any]) -> str:
    return text_of(item.get("content")) or text_of(item.get("output")) or text_of(item.get("arguments"))


def result_of(items: list[Any]) -> str | None:
    """Return the last tool result after the assistant's last turn, None if there is none."""
    for item in reversed(items):
        if item.get("type", "").endswith("_output"):
            return text_of(item.get("output"))
        if item.get("role") == "assistant" or item.get("type") in {"reasoning", "function_call"}:
            return None
    return None


def _names(body: dict[str, Any]) -> list[str]:
    return [tool["name"] for tool in body.get("tools") or [] if "name" in tool]


def _forced(body: dict[str, Any]) -> tuple[str, bool]:
    choice, names = body.get("tool_choice"), _names(body)
    if choice == "required":
        if not body.get("tools"):
            raise invalid("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
        return names[0], False
    if isinstance(choice, dict) and choice.get("type") in {"function", "custom"}:
        if choice.get("name") not in names:
            raise invalid("Tool choice 'function' not found in 'tools' parameter.", param="tool_choice")
        return choice["name"], True
    return "", False


def whole(reply: Reply) -> dict[str, Any]:
    """Return the answer of a request that does not stream."""
    choice = reply.choices[0]
    items = [_item(reply, number, kind, tokens) for number, (kind, tokens) in enumerate(_parts(choice))]
    for item in items:
        if item["type"] == "reasoning":
            item["status"] = None
    status = "incomplete" if choice.finish == "length" else "completed"
    return _resource(reply, status, items)


def _resource(reply: Reply, status: str, output: list[Any]) -> dict[str, Any]:
    body = reply.body
    left = reply.limit - len(reply.choices[0].prompt.pieces)
    return {
        "id": "resp_" + reply.number,
        "created_at": reply.created,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata"),
        "model": reply.model,
        "object": "response",
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "temperature": float(body.get("temperature", 1)),
        "tool_choice": body.get("tool_choice", "auto") if body.get("tools") else "none",
        "tools": [_tool(tool) for tool in body.get("tools") or []],
        "top_p": float(body.get("top_p", 1)),
        "background": False,
        "max_output_tokens": min(body.get("max_output_tokens") or left, left),
        "max_tool_calls": body.get("max_tool_calls"),
        "previous_response_id": None,
        "prompt": None,
        "reasoning": _filled(body.get("reasoning"), REASONING_FIELDS),
        "service_tier": body.get("service_tier", "auto"),
        "status": status,
        "text": _text_settings(body.get("text")),
        "top_logprobs": body.get("top_logprobs") if LOGPROBS in (body.get("include") or []) else None,
        "truncation": body.get("truncation", "disabled"),
        "usage": None if status == "in_progress" else _usage(reply),
        "user": body.get("user"),
        "presence_penalty": float(body.get("presence_penalty", 0)),
        "frequency_penalty": float(body.get("frequency_penalty", 0)),
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "input_messages": None,
        "output_messages": None,
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(TOOL_FIELDS.get(tool["type"], ())), **tool}


def _filled(given: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any] | None:
    return None if given is None else {**dict.fromkeys(names), **given}


def _text_settings(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    shape = given.get("format")
    if shape and shape["type"] == "json_schema":
        shape = {"description": None, "strict": None, **shape}
    return {"format": shape, "verbosity": given.get("verbosity")}


def _usage(reply: Reply) -> dict[str, Any] | None:
    if reply.usage is None:
        return None
    counts = reply.reported
    cached = (counts.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (counts.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    in_turns: dict[str, Any] = {"input_tokens_per_turn": [], "cached_tokens_per_turn": []}
    out_turns: dict[str, Any] = {"output_tokens_per_turn": [], "tool_output_tokens_per_turn": []}
    return {
        "input_tokens": counts["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0, **in_turns},
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": reasoning, "tool_output_tokens": 0, **out_turns},
        "total_tokens": counts["prompt_tokens"] + counts["completion_tokens"],
    }


def _parts(choice: Choice) -> Iterator[tuple[str, list[Token]]]:
    """Yield each output item's kind and tokens, in order."""
    reasoning = [token for token in choice.tokens if token.field in REASONING]
    said = [token for token in choice.tokens if token.field in {"content", "refusal"}]
    if reasoning:
        yield "reasoning", reasoning
    if said:
        yield "message", said
    for number, call in enumerate(choice.calls):
        yield call["id"], [token for token in choice.tokens if token.field == "tool_calls" and token.call == number]


def _item(reply: Reply, number: int, kind: str, tokens: list[Token]) -> dict[str, Any]:
    """Return a finished item. vLLM calls an item that was cut off completed all the same."""
    text = "".join(token.piece for token in tokens if not token.starts)
    if kind == "reasoning":
        content = [{"text": text, "type": "reasoning_text"}]
        fields: dict[str, Any] = {"summary": [], "type": kind, "content": content, "encrypted_content": None}
        return {"id": f"rs_{number}{reply.number[1:]}", **fields, "status": "completed"}
    if kind == "message":
        part = {"annotations": [], "text": text, "type": "output_text", "logprobs": _logprobs(reply, tokens) or None}
        fields = {"content": [part], "role": "assistant", "status": "completed", "type": kind, "phase": None}
        return {"id": f"msg_{number}{reply.number[1:]}", **fields}
    fields = {"arguments": text, "call_id": kind, "name": tokens[0].piece, "type": "function_call"}
    nulls = {"async": None, "caller": None, "namespace": None}
    return {**fields, "id": f"fc_{number}{reply.number[1:]}", **nulls, "status": "completed"}


def _logprobs(reply: Reply, tokens: list[Token]) -> list[dict[str, Any]]:
    return logprobs_of(tokens, reply.body) if LOGPROBS in (reply.body.get("include") or []) else []


def frames(reply: Reply) -> list[bytes]:
    """Return the events of a stream. There is no `[DONE]`, and a cut answer ends as a completed one."""
    return [named_frame({**event, "sequence_number": number}) for number, event in enumerate(_events(reply))]


def _events(reply: Reply) -> Iterator[dict[str, Any]]:
    begun = _resource(reply, "in_progress", [])
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    choice = reply.choices[0]
    done = []
    for number, (kind, tokens) in enumerate(_parts(choice)):
        item = _item(reply, number, kind, tokens)
        at = {"item_id": item["id"], "output_index": number}
        yield {"type": "response.output_item.added", "item": _begun(item), "output_index": number}
        yield from ITEM_EVENTS[item["type"]](reply, item, tokens, at)
        yield {"type": "response.output_item.done", "item": item, "output_index": number}
        done.append(item)
    status = "incomplete" if choice.finish == "length" else "completed"
    yield {"type": "response.completed", "response": _resource(reply, status, done)}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "reasoning": {"content": None},
        "function_call": {"arguments": ""},
    }
    return {**item, **empty[item["type"]], "status": "in_progress"}


def _said_events(reply: Reply, item: Any, tokens: list[Token], at: Any) -> Iterator[dict[str, Any]]:
    [part] = item["content"]
    at = {**at, "content_index": 0}
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": "", "logprobs": []}}
    for token in tokens:
        logprobs = [_without_bytes(one) for one in _logprobs(reply, [token])]
        yield {"type": "response.output_text.delta", **at, "delta": token.piece, "logprobs": logprobs}
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _without_bytes(entry: dict[str, Any]) -> dict[str, Any]:
    top = [{"token": one["token"], "logprob": one["logprob"]} for one in entry["top_logprobs"]]
    return {"token": entry["token"], "logprob": entry["logprob"], "top_logprobs": top}


def _thought_events(_reply: Reply, item: Any, tokens: list[Token], at: Any) -> Iterator[dict[str, Any]]:
    [part] = item["content"]
    at = {**at, "content_index": 0}
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
    for token in tokens:
        yield {"type": "response.reasoning_text.delta", **at, "delta": token.piece}
    yield {"type": "response.reasoning_text.done", **at, "text": part["text"]}
    yield {"type": "response.content_part.done", **at, "part": part}


def _call_events(_reply: Reply, item: Any, tokens: list[Token], at: Any) -> Iterator[dict[str, Any]]:
    for token in tokens[1:]:
        yield {"type": "response.function_call_arguments.delta", **at, "delta": token.piece}
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield {"type": "response.function_call_arguments.done", **at, **done}


ITEM_EVENTS = {"message": _said_events, "reasoning": _thought_events, "function_call": _call_events}
