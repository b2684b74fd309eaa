"""What is true of every stream of the gateway: how it is written, and how its items live."""

import json
from collections.abc import Iterator
from typing import Any

from tests.contract.schemas import ContractError, check_event

Event = dict[str, Any]

TERMINAL = {f"response.{status}": status for status in ("completed", "incomplete", "failed")}
STANDING = frozenset({"response.queued", "response.in_progress"})  # may come at any time, and change nothing
# What a resource gains on its way; everything else is in its first event as in its last.
GROWING = frozenset({"status", "completed_at", "incomplete_details", "error", "output", "usage"})
FIELD = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_summary_text": "text",
    "reasoning": "text",
    "reasoning_text": "text",
}
POSITIONS = {"content": "content_index", "summary": "summary_index"}


def insist(holds: object, problem: str) -> None:
    """Return if it holds.

    Raises:
        ContractError: saying what the problem is.
    """
    if not holds:
        raise ContractError(problem)


def read_events(raw: bytes) -> list[Event]:
    """Return the events of a stream of /v1/responses. It is read as its strictest reader would: LF, one `event` that
    is the body's type, one `data`, `[DONE]` at the end; comments pass.
    """
    events = []
    for lines in _frames(raw):
        insist(len(lines) == 2 and lines[0].startswith("event: "), f"This is not an event: {lines}")
        event = _data(lines[1])
        insist(lines[0] == f"event: {event['type']}", f"{lines[0]!r} has the type {event['type']!r}.")
        events.append(event)
    return events


def read_chunks(raw: bytes) -> list[Event]:
    """Return the chunks of a streamed chat completion; an error may be among them."""
    found = []
    for lines in _frames(raw):
        insist(len(lines) == 1, f"This is not a chunk: {lines}")
        found.append(_data(lines[0]))
    return found


def _frames(raw: bytes) -> Iterator[list[str]]:
    insist(b"\r" not in raw, "A line ends in more than LF.")
    insist(raw.endswith(b"data: [DONE]\n\n"), f"The stream does not end in [DONE]: {raw[-200:]!r}")
    for frame in raw.removesuffix(b"data: [DONE]\n\n").decode().split("\n\n")[:-1]:
        lines = [line for line in frame.split("\n") if not line.startswith(":")]
        if lines:
            yield lines


def _data(line: str) -> Event:
    insist(line.startswith("data: "), f"This is not data: {line!r}")
    body = json.loads(line.removeprefix("data: "))
    insist(isinstance(body, dict), f"This is not an object: {line!r}")
    return dict(body)


def check_stream(events: list[Event]) -> None:
    """Check every event of a stream, and their order."""
    for event in events:
        check_event(event)
    check_life(events)


def check_life(events: list[Event]) -> None:
    """Check the order of a stream's events: what the schemas of single events cannot see."""
    kinds = [event["type"] for event in events]
    numbers = [event["sequence_number"] for event in events]
    insist(numbers == [*range(len(events))], f"The events are numbered {numbers}.")
    insist(kinds[0] == "response.created" and kinds[1] in STANDING, f"The stream begins with {kinds[:2]}.")
    insist([kind for kind in kinds if kind in TERMINAL] == kinds[-1:], f"The stream does not end once: {kinds}")
    insist(kinds.count("response.created") == 1, "It is created twice.")
    _check_resources([event["response"] for event in events if "response" in event], TERMINAL[kinds[-1]])
    output = events[-1]["response"]["output"]
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    insist(added == [*range(len(output))], f"{len(output)} items were added as {added}.")
    ids = [item["id"] for item in output]
    insist(len({*ids}) == len(ids), f"Two items have one id: {ids}")
    for index, item in enumerate(output):
        check_item([event for event in events if event.get("output_index") == index], item)


def _check_resources(resources: list[dict[str, Any]], status: str) -> None:
    first, *between, last = resources
    for resource in (*between, last):
        changed = {name for name in first.keys() | resource.keys() if first.get(name) != resource.get(name)}
        insist(changed <= GROWING, f"The resource changes its {changed - GROWING}.")
    for resource in (first, *between):
        insist(resource["status"] in {"queued", "in_progress"}, f"It is {resource['status']} before its end.")
    check_end(last, status)


def check_end(resource: dict[str, Any], status: str) -> None:
    """Check that a resource which has ended with this status says so everywhere, and says why."""
    insist(resource["status"] == status, f"A {status} response says that it is {resource['status']}.")
    there = {name for name in ("completed_at", "incomplete_details", "error") if resource[name] is not None}
    wanted = {"completed": "completed_at", "incomplete": "incomplete_details", "failed": "error"}[status]
    insist(there == {wanted}, f"A {status} response has {there}.")
    if status != "failed":
        cut = [item["id"] for item in resource["output"][:-1] if item.get("status", "completed") != "completed"]
        insist(not cut, f"Items are cut off that are not the last: {cut}")
    if usage := resource["usage"]:
        total = usage["input_tokens"] + usage["output_tokens"]
        insist(usage["total_tokens"] == total, f"The usage does not add up: {usage}")


def check_item(events: list[Event], item: dict[str, Any]) -> None:
    """Check the events of one item, which ends as `item`."""
    (added, *inner, done), kinds = events, [event["type"] for event in events]
    insist(kinds[0] == "response.output_item.added" and kinds[-1] == "response.output_item.done", f"It lives {kinds}.")
    insist(done["item"] == item, f"It is done as {done['item']} and ends as {item}.")
    insist(added["item"]["status"] == "in_progress", f"It is added as {added['item']['status']}.")
    insist(item["status"] in {"completed", "incomplete"}, f"It ends as {item['status']}.")
    ids = {added["item"]["id"], item["id"], *(event["item_id"] for event in inner)}
    insist(len(ids) == 1, f"It has several ids: {ids}")
    (_check_call if item["type"] in CALLS else _check_parts)(added["item"], inner, item)


# What calls hold, and what their events are called.
CALLS = {
    "function_call": ("arguments", "response.function_call_arguments."),
    "custom_tool_call": ("input", "response.custom_tool_call_input."),
}


def _check_call(begun: dict[str, Any], inner: list[Event], item: dict[str, Any]) -> None:
    *deltas, done = inner
    field, prefix = CALLS[item["type"]]
    fixed = {name: begun[name] for name in ("type", "call_id", "name")}
    insist(fixed.items() <= item.items() and begun[field] == "", f"It is added as {begun} and ends as {item}.")
    kinds = [event["type"].removeprefix(prefix) for event in inner]
    insist(kinds == ["delta"] * len(deltas) + ["done"], f"A call has {kinds}.")
    said = "".join(event["delta"] for event in deltas)
    insist(said == done[field] == item[field], f"{said!r} ends as {item[field]!r}.")


def _check_parts(begun: dict[str, Any], inner: list[Event], item: dict[str, Any]) -> None:
    insist(all(POSITIONS.values() & event.keys() for event in inner), f"An event belongs to no part: {inner}")
    for holder, position in POSITIONS.items():
        if holder in item:
            insist(begun[holder] == [], f"It is added with {begun[holder]}.")
            _check_shelf([event for event in inner if position in event], position, item[holder])


def _check_shelf(inner: list[Event], position: str, parts: list[dict[str, Any]]) -> None:
    places = [event[position] for event in inner]
    insist(places == sorted(places) and {*places} == {*range(len(parts))}, f"The parts come as {places}.")
    for number, part in enumerate(parts):
        added, *deltas, text_done, done = [event for event in inner if event[position] == number]
        insist(added["type"].endswith("_part.added") and done["type"].endswith("_part.done"), f"{added} … {done}")
        insist(done["part"] == part, f"The part is done as {done['part']} and ends as {part}.")
        _, name, ended = text_done["type"].split(".")
        insist(ended == "done", f"The text of a part ends in {text_done}.")
        insist({event["type"] for event in deltas} <= {f"response.{name}.delta"}, f"Mixed texts in {deltas}.")
        said, field = "".join(event["delta"] for event in deltas), FIELD[name]
        insist(said == text_done[field] == part[field], f"{said!r} ends as {part[field]!r}.")
        scores = [score for event in deltas for score in event.get("logprobs", [])]
        insist(scores == text_done.get("logprobs", []) == part.get("logprobs", []), f"Log-probabilities: {scores}")
