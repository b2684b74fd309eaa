"""How often and after which pause a request is put to an engine again. Pure: chance is an argument.

What an engine answered is never asked for again. An attempt that reached an engine and got no answer has cost it
something, and is paid for out of a budget that grows with traffic: when all engines break at once, they are not asked
several times as much as before. An attempt that reached nobody has cost nothing, and is bounded by time.
"""

from dataclasses import dataclass

# Pauses before the next attempt, in seconds: short before another engine, longer before one that was asked already.
PAUSE_BEFORE_ANOTHER = (0.01, 0.05)
PAUSE_BEFORE_THE_SAME = (0.2, 0.6)
MAX_PAUSE = 5.0
# Of the requests of a process so many may be asked again, and at once so many: those in flight when an engine dies.
RETRY_SHARE = 0.2
RETRY_BURST = 1000.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a profile's requests wait, in seconds, and what for. None: as long as the whole answer may take."""

    total: float = 3600
    connect: float = 10
    first_byte: float | None = None
    idle: float | None = None  # between two pieces of a stream; None: the setting for all profiles
    hold: float = 30
    max_attempts: int = 3


class RetryBudget:
    """What a process may spend on asking again."""

    def __init__(self, *, share: float = RETRY_SHARE, burst: float = RETRY_BURST) -> None:
        self._share = share
        self._burst = burst
        self._left = burst

    def earn(self) -> None:
        """Note a request that is asked for the first time."""
        if self._left < self._burst:
            self._left = min(self._burst, self._left + self._share)

    def spend(self) -> bool:
        """Pay for asking again; return False if there is nothing left to pay with."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def pause(rounds: int, chance: float, *, told: float | None = None) -> float:
    """Return how long to wait, in seconds. `rounds`: how often every engine was asked; 0 while there is another one.
    `chance` is between 0 and 1; `told` is what the engine asked for.
    """
    low, high = PAUSE_BEFORE_THE_SAME if rounds else PAUSE_BEFORE_ANOTHER
    grown = 2 ** (rounds - 1) if rounds else 1
    wanted = min((low + chance * (high - low)) * grown, MAX_PAUSE)
    return max(wanted, told or 0.0) if rounds else wanted


def told_seconds(header: str) -> float | None:
    """Return what a Retry-After header says in seconds; None if it says nothing of use: a date is not read."""
    text = header.strip()
    return float(text) if text.isdecimal() and text.isascii() and len(text) <= 6 else None  # noqa: PLR2004
