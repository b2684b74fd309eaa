"""When requests stay away from an endpoint, judged by what became of earlier ones. Pure.

    closed ──(failures in a row)──► open ──(the pause is over)──► half-open ──(one request tries)──► closed or open

What counts as a failure: a connection that was not made, an answer that fell silent. What never does: an answer that is
slow and flows, an error that the engine says, a client that leaves.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

FAILURES_TO_OPEN = 3
# How long it stays open, in seconds: longer each time that the request which tries fails.
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
# So long nobody else tries, in seconds, unless the one who does is answered or fails before. A connection is made soon;
# whether an answer stalls takes longer to know.
TRIAL_SECONDS = 5.0
STALLED_TRIAL_SECONDS = 30.0


class Cause(StrEnum):
    """What failed. The words are those of the endpoint's column."""

    UNREACHABLE = "unreachable"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit that is not closed: nobody asks the endpoint before `until`, then one request may try."""

    cause: str
    reason: str
    trips: int  # how often in a row it opened
    until: datetime

    def is_due(self, now: datetime) -> bool:
        """Whether it is half-open, so that one request may try."""
        return now >= self.until

    def tried(self, now: datetime) -> "Circuit":
        """Return the circuit while one request tries."""
        seconds = STALLED_TRIAL_SECONDS if self.cause == Cause.STALLED else TRIAL_SECONDS
        return replace(self, until=now + timedelta(seconds=seconds))


def opened(before: Circuit | None, *, cause: Cause, reason: str, now: datetime) -> Circuit:
    """Return the circuit after one failure too many; `before` is what it was, if it was not closed."""
    trips = before.trips + 1 if before else 1
    pause = PAUSES[min(trips, len(PAUSES)) - 1]
    return Circuit(cause, reason, trips, now + timedelta(seconds=pause))


class Streaks:
    """How many requests in a row failed at each endpoint, for each cause."""

    def __init__(self) -> None:
        self._failures: dict[tuple[int, Cause], int] = {}

    def failed(self, endpoint_id: int, cause: Cause) -> bool:
        """Count a failure; return whether it is one too many."""
        count = self._failures[endpoint_id, cause] = self._failures.get((endpoint_id, cause), 0) + 1
        return count >= FAILURES_TO_OPEN

    def ended(self, endpoint_id: int, cause: Cause) -> None:
        """Forget the failures of an endpoint, because one request went well."""
        if self._failures:
            self._failures.pop((endpoint_id, cause), None)
