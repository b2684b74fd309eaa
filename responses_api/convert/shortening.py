"""A conversation that does not fit, without its oldest part: `truncation: "auto"`. Pure.

Left out are whole turns, from one message of the user to the next, and then, behind the last of those, the assistant's
steps, from one of its messages, or runs of its items, to the next. So a call goes with what it returned. What stays:
the system messages at the start, the last message of the user, and the last step.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from responses_api import wire

Message = dict[str, Any]

# Shares of the prompt: how much more is left out than should be enough, and how much if nobody knows.
MARGIN = 0.05
BLIND_SHARE = 0.25

SYSTEM = frozenset({"system", "developer"})


def units(messages: Sequence[Message]) -> list[range]:
    """Return what may be left out, the oldest first, as the places of messages."""
    roles = [_role(message) for message in messages]
    first = next((place for place, role in enumerate(roles) if role not in SYSTEM), len(roles))
    users = [place for place, role in enumerate(roles) if role == "user" and place >= first]
    turns = [first, *(place for place in users if place > first)]
    last_user = users[-1] if users else first - 1
    steps = [
        place for place in range(last_user + 1, len(roles)) if roles[place] == "assistant" != _before(roles, place)
    ]
    return [range(*pair) for pair in (*pairwise(turns), *pairwise(steps))]


def _role(message: Message) -> str:
    """Return who a message, or an item of the Responses API, is of."""
    role = message.get("role")
    if isinstance(role, str):
        return role
    return "tool" if str(message.get("type")).endswith("_output") else "assistant"


def _before(roles: Sequence[str], place: int) -> str:
    return roles[place - 1] if place else ""


def without(messages: Sequence[Message], count: int) -> list[Message]:
    """Return the messages without the oldest `count` units."""
    left_out = {place for unit in units(messages)[:count] for place in unit}
    return [message for place, message in enumerate(messages) if place not in left_out]


def share_to_leave_out(prompt: int | None, limit: int | None, reserved: int) -> float:
    """Return which share of the prompt is too much; 1 and more if nothing would help. `prompt` and `limit`: tokens, as
    the engine counted them; `reserved` of them are for the answer.

    vLLM stops to count one token behind its limit, so that such a number says nothing.
    """
    if limit is not None and reserved >= limit:
        return 1
    if not prompt or limit is None or prompt <= limit + 1:
        return BLIND_SHARE
    return 1 - (limit - reserved) / prompt + MARGIN


def count_to_leave_out(messages: Sequence[Message], share: float) -> int:
    """Return how many units are about that share of the messages: one at least, 0 if there is none."""
    sizes = [len(wire.encode(message)) for message in messages]
    enough = share * sum(sizes)
    found = left_out = 0
    for unit in units(messages):
        found += 1
        left_out += sum(sizes[place] for place in unit)
        if left_out >= enough:
            break
    return found
