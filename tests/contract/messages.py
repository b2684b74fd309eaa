"""What is true of every answer on Anthropic's paths: its errors, and how the events of a message follow each other."""

import json
from typing import Any

from tests.contract.life import insist

Event = dict[str, Any]

TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "overloaded_error",
        "timeout_error",
        "api_error",
    }
)


def check_error(body: Any) -> None:
    """Check an error."""
    insist(body.keys() == {"type", "error"} and body["type"] == "error", f"This is no error of Anthropic's: {body}")
    insist(body["error"].keys() == {"type", "message"} and body["error"]["type"] in TYPES, f"Odd error: {body}")
    insist(body["error"]["message"], "The error says nothing.")


def read_messages(raw: bytes) -> list[Event]:
    """Return the events of a streamed message, which ends as such or in an error."""
    insist(raw.endswith(b"\n\n") and b"\r" not in raw, f"The stream ends within an event: {raw[-200:]!r}")
    events = []
    for frame in raw.decode().split("\n\n")[:-1]:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        insist(name == f"event: {event['type']}", f"{name!r} has the type {event['type']!r}.")
        events.append(event)
    _check_life([event for event in events if event["type"] != "ping"])
    return events


def _check_life(events: list[Event]) -> None:
    kinds = [event["type"] for event in events]
    if kinds[-1] == "error":
        check_error(events[-1])
        return
    insist(kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], f"A message lives {kinds}.")
    inside = 0
    for kind in kinds[1:-2]:
        inside += {"content_block_start": 1, "content_block_stop": -1}.get(kind, 0)
        insist(inside in {0, 1}, f"The blocks of a message live {kinds}.")
    insist(inside == 0, f"The last block stays open: {kinds}")
