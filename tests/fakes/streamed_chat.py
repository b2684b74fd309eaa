"""A chat completion cut into the chunks in which vLLM streams it, a token at a time."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec


def frames_of(answer: dict[str, Any], *, with_usage: bool) -> list[bytes]:
    """Return the events of an answer, `[DONE]` included."""
    choice = answer["choices"][0]
    head = {"id": answer["id"], "object": "chat.completion.chunk", "created": answer["created"]}
    head["model"] = answer["model"]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
        for delta in _deltas(choice["message"])
    ]
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"], "stop_reason": None}
    chunks.append({**head, "choices": [last]})
    if with_usage:
        chunks.append({**head, "choices": [], "usage": answer["usage"]})
    return [*map(frame_of, chunks), b"data: [DONE]\n\n"]


def frame_of(event: Any) -> bytes:
    """Return an event: text as it is, anything else as JSON."""
    return event.encode() if isinstance(event, str) else b"data: %b\n\n" % msgspec.json.encode(event)


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for name in ("reasoning", "reasoning_content", "content", "refusal"):
        for token in re.findall(r"\s*\S+|\s+", message.get(name) or ""):
            yield {name: token}
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call["function"]
        begun = {"id": call["id"], "type": "function", "index": index}
        yield {"tool_calls": [{**begun, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in re.findall(r".{1,4}", function["arguments"] or "", flags=re.DOTALL):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
