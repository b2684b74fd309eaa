"""Streams as engines send them, and what every stream of ours obeys."""

from collections import Counter
from typing import Any

import msgspec

from responses_api import sse
from responses_api.convert.exchange import Exchange, ResponsesExchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp

FIELD = {"output_text": "text", "refusal": "refusal", "reasoning_summary_text": "text"}
PLAIN = ProfileSettings(name="p", engine_model="engine-model")
INLINE = ProfileSettings(name="p", engine_model="engine-model", uses_reasoning_parser=False)
USAGE = {"prompt_tokens": 3, "completion_tokens": 5}


def stamp(completed_at: int = 1001) -> Stamp:
    counts: Counter[str] = Counter()

    def new_id(prefix: str) -> str:
        counts[prefix] += 1
        return f"{prefix}_{counts[prefix]}"

    return Stamp("resp_0", 1000, completed_at, new_id)


def exchange(kind: type[Exchange] = ResponsesExchange, **fields: Any) -> Exchange:
    given: dict[str, Any] = {"input": "hi"} if kind is ResponsesExchange else {"messages": []}
    made = kind(msgspec.json.encode({"model": "p", **given, "stream": True, **fields}))
    made.engine_body(PLAIN)
    return made


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "x", "model": "e", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def streamed(*chunks: dict[str, Any] | bytes) -> bytes:
    return b"".join(sse.nameless(one if isinstance(one, bytes) else msgspec.json.encode(one)) for one in chunks)


def said(*deltas: dict[str, Any], finish: str | None = "stop", usage: Any = USAGE) -> bytes:
    """A whole stream as vLLM sends it."""
    chunks = [chunk(role="assistant", content=""), *(chunk(**delta) for delta in deltas), chunk(finish)]
    return streamed(*chunks, {"choices": [], "usage": usage}, b"[DONE]")


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """The events, after a check that each has its name and that `[DONE]` comes last, and only there."""
    *found, done = sse.Decoder().feed(raw)
    assert done.is_done
    events: list[dict[str, Any]] = [msgspec.json.decode(event.data) for event in found]
    assert [event.name for event in found] == [event["type"] for event in events]
    return events


def call(index: int, **fields: Any) -> dict[str, Any]:
    given = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {"tool_calls": [{"index": index, **fields, "function": given}]}


def obey(found: list[dict[str, Any]]) -> None:
    """Fail unless the events are a lawful stream."""
    assert [event["sequence_number"] for event in found] == [*range(len(found))]
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    terminal = [kind for kind in kinds if kind in {"response.completed", "response.incomplete", "response.failed"}]
    assert terminal == kinds[-1:]
    output = found[-1]["response"]["output"]
    for event in ("added", "done"):
        indexes = [one["output_index"] for one in found if one["type"] == f"response.output_item.{event}"]
        assert sorted(indexes) == [*range(len(output))]
    for index, item in enumerate(output):
        obey_item([event for event in found if event.get("output_index") == index], item)


def obey_item(found: list[dict[str, Any]], item: dict[str, Any]) -> None:
    added, *inner, done = found
    assert (added["type"], done["type"]) == ("response.output_item.added", "response.output_item.done")
    assert done["item"] == item
    assert added["item"]["status"] == "in_progress"
    assert item["status"] in {"completed", "incomplete"}
    assert {event["item_id"] for event in inner} <= {item["id"], added["item"]["id"]} == {item["id"]}
    if item["type"] == "function_call":
        assert added["item"]["arguments"] == ""
        assert "".join(event["delta"] for event in inner[:-1]) == inner[-1]["arguments"] == item["arguments"]
        return
    holder, position = ("content", "content_index") if "content" in item else ("summary", "summary_index")
    assert [event[position] for event in inner] == sorted(event[position] for event in inner)
    for number, part in enumerate(item[holder]):
        begun, *deltas, text_done, ended = [event for event in inner if event[position] == number]
        name = text_done["type"].split(".")[1]
        assert (begun["type"][-6:], ended["type"][-5:], ended["part"]) == (".added", ".done", part)
        assert "".join(event["delta"] for event in deltas) == text_done[FIELD[name]] == part[FIELD[name]]
