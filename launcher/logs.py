"""The logs of an engine's attempts, as people read them: kept ones from the data directory, a running one live.

What leaves here is redacted. Reading is by attempt, which is the engine's generation; the newest comes first.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from launcher import log_lines, places
from launcher.attempt import Attempt
from launcher.cluster import Cluster, ClusterUnreachableError, LogPart
from launcher.models import Engine
from launcher.places import KEPT_LOGS
from launcher.states import State

MAX_DIGITS = 9  # of an attempt's number; Python reads no number of thousands
FOLLOW_SECONDS = 1.0
OVERLAP = 400  # characters by which the end of what was sent is found again in a log whose beginning was cut off


@dataclass(frozen=True)
class AttemptView:
    """One launch: when, how it ended, and why. `cause` is the first thing that went wrong, empty if nothing did."""

    attempt: int
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    outcome: str
    cause: str
    log_bytes: int


@dataclass(frozen=True)
class Part:
    """Some of a log, without secrets. `kept`: from the data directory, whose places are other ones."""

    part: LogPart
    kept: bool


NOTHING = LogPart("", 0, 0)


@dataclass(frozen=True)
class Reader:
    """One attempt's log. Holds what it needs, so that it can be read without the database."""

    cluster: Cluster
    engine: str
    attempt: int
    submission_id: str  # empty if the attempt is not the one that the cluster may still know
    secrets: list[str]

    def read(self) -> str:
        """Return the whole of it, as far as it is kept."""
        where = places.of_this_host()
        if self.submission_id:
            try:
                if text := self.cluster.log(self.submission_id):
                    return log_lines.redact(text, self.secrets)
            except ClusterUnreachableError:
                pass  # what was kept has to do
        return where.saved_log(self.engine, self.attempt)

    def after(self, place: int, *, last: bool) -> Part:
        """Return some of what follows a place. Places in the cluster's log and in the kept one are not the same."""
        if self.submission_id:
            try:
                if (part := self.cluster.log_after(self.submission_id, place, last=last)) is not None:
                    return Part(replace(part, text=log_lines.redact(part.text, self.secrets)), kept=False)
            except ClusterUnreachableError:
                pass
        part = places.of_this_host().saved_log_after(self.engine, self.attempt, place, last=True)
        return Part(part or NOTHING, kept=True)

    def running(self) -> bool:
        """Return whether more may come."""
        try:
            return bool(self.submission_id) and self.cluster.view(self.submission_id).state.active
        except ClusterUnreachableError:
            return True


def attempts(engine: Engine) -> list[AttemptView]:
    """Return the attempts whose logs may be kept, the newest first."""
    where, found = places.of_this_host(), dict[int, AttemptView]()
    events = engine.events.filter(generation__gt=max(0, engine.generation - KEPT_LOGS)).order_by("pk")
    for event in events.defer("log_tail"):
        known = found.get(event.generation)
        started = known.started_at if known else None
        over = event.new in {State.FAILED, State.STOPPED}
        if known is not None and known.ended_at is not None:
            continue  # what follows an end belongs to the next attempt
        found[event.generation] = AttemptView(
            attempt=event.generation,
            started_at=event.at if event.new == State.STARTING else started,
            ended_at=event.at if over else None,
            outcome=event.new,
            cause=event.reason if event.new == State.FAILED else "",
            log_bytes=where.log_bytes(engine.name, event.generation),
        )
    return [found[attempt] for attempt in sorted(found, reverse=True)]


def reader(engine: Engine, attempt: int, cluster: Cluster) -> Reader:
    """Return a reader of one attempt's log."""
    current = Attempt(engine, cluster, places.of_this_host())
    known = engine.submission_id if attempt == engine.generation and current.claimed else ""
    return Reader(cluster, engine.name, attempt, known, current.secrets() if known else [])


def matching(text: str, search: str) -> str:
    """Return the lines that hold what is searched for, in any case; all of them if that is nothing."""
    if not search:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if search.lower() in line.lower())


class Cursor:
    """How far one attempt's log was read, and the reading on."""

    def __init__(self, reader: Reader, *, place: int = 0, kept: bool | None = None) -> None:
        """`kept`: which log the place is one of; None if it is not known yet."""
        self.reader = reader
        self.place = place
        self.kept = kept
        self.anew = False  # what was returned last is the log from its beginning
        self._end = ""  # of what was read

    def more(self, *, last: bool) -> str:
        """Return some of what is new, in whole lines; "" if nothing is. `last`: no more can come."""
        self.anew = False
        found = self.reader.after(self.place, last=last)
        text, place = found.part.text, found.part.place
        if self.kept is False and found.kept:  # the cluster forgot it: the place is found again by what stands there
            whole = self.reader.read()
            if not whole:  # nor was it kept: what was shown is all there is
                return ""
            text, place = added(self._end, whole), len(whole.encode())
            self.anew = text == whole
        self.place = place
        self.kept = found.kept
        self._end = (self._end + text)[-OVERLAP:]
        return text


async def follow(
    read: Callable[[bool], str], running: Callable[[], bool], search: str, *, seconds: float = FOLLOW_SECONDS
) -> AsyncIterator[str]:
    """Yield the log, and then what is added to it, in whole lines, until no more can come.

    `read` returns some of what is new, and is told whether more can come; it is called again after so many seconds.
    """
    while True:
        last = not await asyncio.to_thread(running)
        while text := await asyncio.to_thread(read, last):
            if fresh := matching(text, search):
                yield fresh
        if last:
            return
        await asyncio.sleep(seconds)


def added(before: str, now: str) -> str:
    """Return what a log has now behind that piece of it; all of it if that is not there."""
    place = now.rfind(before) if before else -1
    return now if place < 0 else now[place + len(before) :]
