"""Streams as engines send them."""

from collections import Counter
from typing import Any

import msgspec

from responses_api import sse
from responses_api.convert.exchange import Exchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange

PLAIN = ProfileSettings(name="p", engine_model="engine-model")
INLINE = ProfileSettings(name="p", engine_model="engine-model", uses_reasoning_parser=False)
USAGE = {"prompt_tokens": 3, "completion_tokens": 5}


def stamp(completed_at: int = 1001) -> Stamp:
    counts: Counter[str] = Counter()

    def new_id(prefix: str) -> str:
        counts[prefix] += 1
        return f"{prefix}_{counts[prefix]}"

    return Stamp("resp_0", 1000, completed_at, new_id)


def exchange(kind: type[Exchange] = ResponsesExchange, settings: ProfileSettings = PLAIN, **fields: Any) -> Exchange:
    given: dict[str, Any] = {"input": "hi"} if kind is ResponsesExchange else {"messages": []}
    made = kind(msgspec.json.encode({"model": "p", **given, "stream": True, **fields}))
    made.use(settings)
    made.engine_body()
    return made


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "x", "model": "e", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def streamed(*chunks: dict[str, Any] | bytes) -> bytes:
    return b"".join(sse.nameless(one if isinstance(one, bytes) else msgspec.json.encode(one)) for one in chunks)


def said(*deltas: dict[str, Any], finish: str | None = "stop", usage: Any = USAGE) -> bytes:
    """A whole stream as vLLM sends it."""
    chunks = [chunk(role="assistant", content=""), *(chunk(**delta) for delta in deltas), chunk(finish)]
    return streamed(*chunks, {"choices": [], "usage": usage}, b"[DONE]")


def call(index: int, **fields: Any) -> dict[str, Any]:
    given = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {"tool_calls": [{"index": index, **fields, "function": given}]}
