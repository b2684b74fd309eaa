"""What a person who watches an engine's log sees next: new lines, and how the engine does.

It follows the engine over its launches. Everything here asks the database and files: it belongs into a thread.
"""

from dataclasses import dataclass
from typing import Any

from launcher import logs
from launcher.cluster import Cluster
from launcher.models import Engine
from launcher.states import State

FIRST_BYTES = 200_000  # of a log that is opened, from its end
OVER = {State.FAILED, State.STOPPED}


@dataclass(frozen=True)
class Standing:
    """How a launch does. `ended`: no more can come of it. `progress` is a percentage, if there is one."""

    attempt: int
    state: str
    said: str
    ended: bool
    progress: float | None = None


@dataclass(frozen=True)
class Look:
    """What is new. `anew`: it replaces what was shown. `cursor` says where to read on, also for another viewer.

    `more`: there may be more at once.
    """

    standing: Standing
    text: str
    anew: bool
    cursor: str
    more: bool = False


class Tail:
    """One viewer's place in the log of an engine."""

    def __init__(
        self, cluster: Cluster, engine_id: int, *, attempt: int = 0, cursor: str = "", search: str = ""
    ) -> None:
        """`attempt`: that launch alone; 0: the newest, and those that come after it. A cursor says where to begin."""
        self._cluster = cluster
        self._engine_id = engine_id
        self._only = attempt
        self._search = search
        self._attempt = attempt
        self._cursor: logs.Cursor | None = None
        self._from = _read(cursor)
        self._anew = self._from is None

    def look(self) -> Look | None:
        """Return what is new; None if there is no such engine any more."""
        engine = Engine.objects.filter(pk=self._engine_id).first()
        if engine is None:
            return None
        if engine.generation == 0 or self._only > engine.generation:
            return Look(standing(engine, 0), "", self._begin_anew(), "")
        cursor = self._cursor or self._open(engine)
        now = standing(engine, self._attempt)
        text = cursor.more(last=now.ended)
        anew, more = self._begin_anew() or cursor.anew, bool(text)
        if now.ended and not text and not self._only and engine.generation > self._attempt:
            self._from, self._cursor, more = (self._attempt + 1, 0, None), None, True
        kept = "k" if cursor.kept else "c"
        place = f"{now.attempt}.{cursor.place}.{kept}"
        return Look(now, logs.matching(text, self._search), anew, place, more)

    def _open(self, engine: Engine) -> logs.Cursor:
        if self._from is not None and self._from[0] <= engine.generation:
            self._attempt, place, kept = self._from
        else:
            place, kept = 0 if self._search else -FIRST_BYTES, None
            self._attempt = self._only or engine.generation
        reader = logs.reader(engine, self._attempt, self._cluster)
        self._cursor = logs.Cursor(reader, place=place, kept=kept)
        return self._cursor

    def _begin_anew(self) -> bool:
        anew, self._anew = self._anew, False
        return anew


def _read(cursor: str) -> tuple[int, int, bool | None] | None:
    """Return the launch, the place and which log it is one of; None for what is no cursor."""
    attempt, _, rest = cursor.partition(".")
    place, _, kept = rest.partition(".")
    if not (attempt.isdecimal() and place.isdecimal() and len(attempt + place) < 20 and int(attempt)):  # noqa: PLR2004
        return None
    return int(attempt), int(place), kept == "k"


def standing(engine: Engine, attempt: int) -> Standing:
    """Return how a launch does; 0 stands for none."""
    if not attempt:
        return Standing(0, engine.state, "It was never launched.", ended=False)
    if attempt == engine.generation and not (engine.state == State.PENDING and not engine.base_url):
        said = engine.phase if engine.state == State.STARTING and engine.phase else engine.state_reason
        percent: Any = engine.progress.get("percent") if engine.state == State.STARTING else None
        return Standing(attempt, engine.state, said, engine.state in OVER, percent)
    known = {each.attempt: each for each in logs.attempts(engine)}.get(attempt)
    return Standing(attempt, known.outcome if known else "", known.cause if known else "", ended=True)
