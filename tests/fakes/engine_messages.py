"""Anthropic's messages, as vLLM serves them: vllm/entrypoints/anthropic. They are made of chat completions."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.fakes.engine_chat import text_of
from tests.fakes.engine_generation import (
    REASONING,
    Asked,
    Choice,
    Prompt,
    Reply,
    Token,
    check_prompt,
    named_frame,
    without_nulls,
)
from tests.fakes.engine_refusals import Refused, check_fields, malformed
from tests.fakes.engine_words import pieces_of

SIGNATURE = "5" * 32
STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}


def asked_of(body: dict[str, Any]) -> Asked:
    """Return what a request asks for; raise Refused where vLLM does."""
    check_fields(body, required=("model", "messages", "max_tokens"), lists=("messages",))
    if not isinstance(body["max_tokens"], int):
        raise malformed("int_type", "body.max_tokens", "Input should be a valid integer", body["max_tokens"])
    if body["max_tokens"] <= 0:
        message = "Value error, max_tokens must be positive"
        raise malformed("value_error", "body.max_tokens", message, body["max_tokens"])
    return Asked(
        [prompt_of(body)],
        limit=body["max_tokens"],
        limit_name="max_completion_tokens",
        stop=body.get("stop_sequences") or [],
        result=result_of(body["messages"]),
        **_tools(body),
    )


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    names = [tool["name"] for tool in body.get("tools") or []]
    choice = body.get("tool_choice") or {}
    if choice.get("type") == "tool":
        if choice.get("name") not in names:
            raise Refused(f"The tool with name {choice.get('name')!r} is not found in the tools list.")
        return {"tools": names, "forced": choice["name"], "forced_by_name": True}
    if choice.get("type") == "any" and names:
        return {"tools": names, "forced": names[0]}
    return {"tools": [] if choice.get("type") == "none" else names}


def prompt_of(body: dict[str, Any]) -> Prompt:
    """Return the prompt of a request, the system's words first; what is echoed is the last message's text."""
    check_fields(body, required=("model", "messages"), lists=("messages",))
    texts = [text_of(body.get("system")), *(_said(message.get("content")) for message in body["messages"])]
    last = text_of(body["messages"][-1].get("content")) if body["messages"] else ""
    return Prompt(pieces_of("\n".join(text for text in texts if text)), last)


def _said(content: Any) -> str:
    if not isinstance(content, list):
        return text_of(content)
    return "\n".join(part.get("text") or text_of(part.get("content")) or part.get("thinking") or "" for part in content)


def result_of(messages: list[Any]) -> str | None:
    """Return the last tool result after the assistant's last turn, None if there is none."""
    for message in reversed(messages):
        if message.get("role") == "assistant":
            return None
        content = message.get("content")
        for part in reversed(content if isinstance(content, list) else []):
            if part.get("type") == "tool_result":
                return text_of(part.get("content"))
    return None


def refused(refusal: Refused) -> dict[str, Any]:
    """Return a refusal in Anthropic's shape; what the check of the body refuses keeps OpenAI's."""
    if refusal.malformed:
        return refusal.body()
    return {"type": "error", "error": {"type": refusal.kind, "message": refusal.message}}


def count(body: dict[str, Any], max_model_len: int) -> dict[str, Any]:
    """Return the answer of `count_tokens`; raise Refused where vLLM does."""
    prompt = prompt_of(body)
    check_prompt(prompt, max_model_len)
    tokens = len(prompt.pieces)
    return {"input_tokens": tokens, "context_management": {"original_input_tokens": tokens}}


def whole(reply: Reply) -> dict[str, Any]:
    """Return the answer of a request that does not stream. Null fields are left out."""
    choice = reply.choices[0]
    blocks: list[dict[str, Any]] = []
    if thought := choice.text(*REASONING):
        blocks.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
    if text := choice.text("content", "refusal"):
        blocks.append({"type": "text", "text": text})
    for call in choice.calls:
        function = call["function"]
        given = msgspec.json.decode(function["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    made = {"id": "chatcmpl-" + reply.number, "type": "message", "role": "assistant"}
    ended = without_nulls({"stop_reason": _stop_reason(choice), "stop_sequence": _stop_sequence(choice)})
    content = blocks or [{"type": "text", "text": ""}]
    return {**made, "content": content, "model": reply.model, **ended, "usage": _usage(reply)}


def _stop_reason(choice: Choice) -> str | None:
    if choice.finish == "stop" and choice.calls:
        return "tool_use"
    return "stop_sequence" if _stop_sequence(choice) else STOP_REASONS.get(choice.finish or "")


def _stop_sequence(choice: Choice) -> str | None:
    return choice.stop_reason if choice.finish == "stop" and not choice.calls else None


def _usage(reply: Reply) -> dict[str, Any]:
    counts = reply.reported
    cached = (counts.get("prompt_tokens_details") or {}).get("cached_tokens")
    usage = {"input_tokens": counts["prompt_tokens"] - (cached or 0), "output_tokens": counts["completion_tokens"]}
    return usage if cached is None else {**usage, "cache_read_input_tokens": cached}


def frames(reply: Reply) -> list[bytes]:
    """Return the events of a stream."""
    return [named_frame(event) for event in _events(reply)]


def _events(reply: Reply) -> Iterator[dict[str, Any]]:
    choice = reply.choices[0]
    message: dict[str, Any] = {"id": "chatcmpl-" + reply.number, "type": "message", "role": "assistant", "content": []}
    message |= {"model": reply.model, "stop_reason": None, "stop_sequence": None}
    usage = _usage(reply)
    yield {"type": "message_start", "message": {**message, "usage": {**usage, "output_tokens": 0}}}
    index, open_block = -1, ""
    for token in choice.tokens:
        if not token.field:
            continue
        kind = "tool_use" if token.field == "tool_calls" else "thinking" if token.field in REASONING else "text"
        if kind != open_block or token.starts:
            yield from _closing(open_block, index)
            index, open_block = index + 1, kind
            yield {"type": "content_block_start", "content_block": _begun(choice, token, kind), "index": index}
        if not token.starts:
            yield {"type": "content_block_delta", "delta": _delta(kind, token.piece), "index": index}
    yield from _closing(open_block, index)
    delta = {"stop_reason": _stop_reason(choice) or "end_turn", "stop_sequence": _stop_sequence(choice)}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def _begun(choice: Choice, token: Token, kind: str) -> dict[str, Any]:
    if kind == "tool_use":
        call = choice.calls[token.call]
        return {"type": kind, "id": call["id"], "name": call["function"]["name"], "input": {}}
    return {"type": kind, kind: ""}


def _delta(kind: str, piece: str) -> dict[str, Any]:
    if kind == "tool_use":
        return {"type": "input_json_delta", "partial_json": piece}
    return {"type": f"{kind}_delta", kind: piece}


def _closing(open_block: str, index: int) -> Iterator[dict[str, Any]]:
    if open_block == "thinking":
        delta = {"type": "signature_delta", "signature": SIGNATURE}
        yield {"type": "content_block_delta", "delta": delta, "index": index}
    if open_block:
        yield {"type": "content_block_stop", "index": index}
