"""When an endpoint counts as healthy. Pure.

One failed probe may be chance; two in a row are not. One good answer is proof enough to come back.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

FAILURES_TO_UNHEALTHY = 2
MAX_REASON = 500  # characters


class Health(StrEnum):
    """What the last probes said. The model's choices are the same words."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Standing:
    """An endpoint's health, why, since when, and how many probes failed in a row."""

    health: Health
    reason: str
    since: dt.datetime | None
    failures: int


def judge(before: Standing, *, problem: str, now: dt.datetime) -> Standing:
    """Return the standing after one more probe; `problem` is empty if the probe went well."""
    failures = before.failures + 1 if problem else 0
    health = before.health
    if not problem:
        health = Health.HEALTHY
    elif failures >= FAILURES_TO_UNHEALTHY:
        health = Health.UNHEALTHY
    since = now if health != before.health else before.since
    return Standing(health, problem[:MAX_REASON], since, failures)
