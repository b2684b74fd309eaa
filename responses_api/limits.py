"""How much at once: of each endpoint that has a limit, and by each key that has one.

Every process counts for itself. What the others count is read with the configuration: limits hold over all processes
and hosts, and may be passed for the second or so that it takes to know of each other. Who has no limit is not counted.
"""

import asyncio
import logging
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial

from responses_api.balancing import Candidates
from responses_api.directory import Directory
from responses_api.errors import BusyError, EngineTimeoutError, RateLimitError, UnavailableError
from responses_api.ledger import Ledger, demands
from responses_api.models import Demand
from responses_api.snapshot import Caller, EndpointView, Share
from responses_api.trace import new_id

logger = logging.getLogger(__name__)

TELL_SECONDS = 0.4
WATCH_SECONDS = 1.0
MINUTE = 60
NO_LIMIT = 2**31


class Entry(Enum):
    """How it went to be let in by an endpoint."""

    AT_ONCE = auto()
    AFTER_WAITING = auto()
    ELSEWHERE = auto()  # not at all: the endpoint cannot be asked any more, and another one can


class Demands:
    """What this process asks of what is limited, and what others do."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._directory = directory
        self._ledger = ledger
        self._process = new_id("gw")
        self.running: Counter[str] = Counter()
        self._minute = 0
        self._requests: Counter[str] = Counter()  # of this minute
        self._telling: asyncio.Task[None] | None = None

    def begin(self, subject: str) -> None:
        """Note that something more is wanted of the subject."""
        self.running[subject] += 1
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    def end(self, subject: str) -> None:
        """Note that it is not wanted any more."""
        self.running[subject] -= 1
        if not self.running[subject]:
            del self.running[subject]

    def count(self, subject: str, minute: int) -> None:
        """Count a request of this minute."""
        if minute != self._minute:
            self._minute = minute
            self._requests.clear()
        self._requests[subject] += 1

    def requests(self, subject: str, minute: int) -> int:
        """Return how many requests there were in this minute, of all processes."""
        ours = self._requests[subject] if minute == self._minute else 0
        return ours + sum(other.requests for other in self.others(subject) if other.minute == minute)

    def others(self, subject: str) -> Iterator[Share]:
        """Yield what other processes ask of the subject."""
        return (share for share in self._directory.demands.get(subject, ()) if share.process != self._process)

    async def _tell(self) -> None:
        """Tell the others for as long as there is something to tell."""
        told, is_away = True, False
        while told:
            told = bool(self.running or self._requests)
            now = datetime.now(UTC)
            rows = [
                Demand(
                    process=self._process,
                    subject=subject,
                    running=self.running[subject],
                    minute=self._minute,
                    requests=self._requests[subject],
                    seen_at=now,
                )
                for subject in self.running.keys() | self._requests.keys()
            ]
            if int(time.time()) // MINUTE != self._minute:
                self._requests.clear()
            try:
                await self._ledger.change(partial(demands.write, self._process, rows, now))
                is_away = False
            except UnavailableError:
                if not is_away:
                    logger.warning("What runs here is not known to other processes: limits hold for each by itself.")
                is_away = True
            await asyncio.sleep(TELL_SECONDS)
        self._telling = None

    async def close(self) -> None:
        """Tell the others that nothing runs here any more."""
        if self._telling is not None:
            self._telling.cancel()
            try:
                await self._ledger.change(partial(demands.write, self._process, [], datetime.now(UTC)))
            except UnavailableError:
                logger.warning("Other processes will find out by themselves that this one has ended.")


@dataclass(slots=True)
class Queue:
    """Who runs on an endpoint, and who waits: callers take turns, each of them first come, first served."""

    running: int = 0
    waiting: OrderedDict[int, deque[asyncio.Future[Entry]]] = field(default_factory=OrderedDict)
    length: int = 0
    max_concurrent: int | None = None  # as it was configured when somebody looked last

    def join(self, caller_id: int) -> asyncio.Future[Entry]:
        """Return what is done when it is the caller's turn."""
        turn: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(caller_id, deque()).append(turn)
        self.length += 1
        return turn

    def call(self, limit: int) -> None:
        """Let in as many as there is room for."""
        while self.waiting and self.running < limit:
            caller_id, turns = self.waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self.waiting[caller_id] = turns  # behind all others
            self.length -= 1
            if not turn.done():
                self.running += 1
                turn.set_result(Entry.AFTER_WAITING)

    def drop(self, caller_id: int, turn: asyncio.Future[Entry]) -> None:
        """Forget one who does not wait any more: the next one may have the place in the queue."""
        turns = self.waiting.get(caller_id, deque())
        if turn in turns:
            turns.remove(turn)
            self.length -= 1
            if not turns:
                del self.waiting[caller_id]

    def send_away(self) -> None:
        """Let all who wait look for another endpoint."""
        for turn in (turn for turns in self.waiting.values() for turn in turns):
            if not turn.done():
                turn.set_result(Entry.ELSEWHERE)
        self.waiting.clear()
        self.length = 0


class Limits:
    """The limits as one event loop holds them."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._directory = directory
        self._demands = Demands(directory, ledger)
        self._queues: dict[int, Queue] = {}
        self._watching: asyncio.Task[None] | None = None

    async def enter(self, endpoint: EndpointView, caller_id: int, seconds: float) -> Entry:
        """Return when the endpoint takes a request more, or none at all.

        Raises:
            BusyError: if so many wait already that no more may.
            EngineTimeoutError: if it did not within so many seconds.
        """
        queue = self._queues.setdefault(endpoint.id, Queue())
        queue.max_concurrent = endpoint.max_concurrent
        subject, limit = _subject(endpoint.id), self._share(endpoint.id, endpoint.max_concurrent)
        queue.call(limit)
        if queue.running < limit and not queue.waiting:
            queue.running += 1
            self._demands.begin(subject)
            return Entry.AT_ONCE
        if self._is_full(endpoint):
            raise BusyError(f"{endpoint.name} has {queue.length} requests waiting already.")
        turn = queue.join(caller_id)
        self._demands.begin(subject)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(seconds):
                entry = await turn
        except BaseException as error:
            self._demands.end(subject)
            queue.drop(caller_id, turn)
            if turn.done() and not turn.cancelled() and turn.result() is Entry.AFTER_WAITING:
                queue.running -= 1
                queue.call(limit)
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise EngineTimeoutError("No engine took the request in time.") from error
            raise
        if entry is Entry.ELSEWHERE:
            self._demands.end(subject)
        return entry

    def leave(self, endpoint: EndpointView) -> None:
        """Make room for another."""
        queue = self._queues[endpoint.id]
        queue.running -= 1
        self._demands.end(_subject(endpoint.id))
        queue.call(self._share(endpoint.id, queue.max_concurrent))
        if not queue.running and not queue.waiting:
            del self._queues[endpoint.id]

    async def _watch(self) -> None:
        """Let a change of the configuration count for those, too, who wait already."""
        while any(queue.waiting for queue in self._queues.values()):
            await self._directory.changed(WATCH_SECONDS)
            profiles = (await self._directory.snapshot()).profiles.values()
            usable = {pk: view for profile in profiles for pk, view in profile.usable.items()}
            # Where there is no other endpoint, waiting here is as good as waiting anywhere.
            without_other = {
                pk for profile in profiles if profile.may_return and not profile.open_to_new for pk in profile.unusable
            }
            for pk, queue in self._queues.items():
                if (view := usable.get(pk)) is not None:
                    queue.max_concurrent = view.max_concurrent
                    queue.call(self._share(pk, view.max_concurrent))
                elif pk not in without_other:
                    queue.send_away()

    def with_room(self, views: Mapping[int, EndpointView], candidates: Candidates) -> Candidates:
        """Return those of the candidates that take a request at once, or else those that let one wait, or else all."""
        if all(views[pk].max_concurrent is None for pk in candidates):
            return candidates
        free = {pk: name for pk, name in candidates.items() if self._has_room(views[pk])}
        return free or self.not_full(views, candidates) or candidates

    def not_full(self, views: Mapping[int, EndpointView], candidates: Candidates) -> dict[int, str]:
        """Return those of the candidates that take a request, or let it wait."""
        return {pk: name for pk, name in candidates.items() if not self._is_full(views[pk])}

    def _has_room(self, endpoint: EndpointView) -> bool:
        queue = self._queues.get(endpoint.id)
        if endpoint.max_concurrent is None or queue is None:
            return True
        return not queue.waiting and queue.running < self._share(endpoint.id, endpoint.max_concurrent)

    def _is_full(self, endpoint: EndpointView) -> bool:
        """Whether so many wait already that no more may."""
        if self._has_room(endpoint):
            return False
        share = max(1, endpoint.max_queued // self._processes(_subject(endpoint.id)))
        return endpoint.max_queued == 0 or self._queues[endpoint.id].length >= share

    def _share(self, endpoint_id: int, max_concurrent: int | None) -> int:
        """Return how much of the endpoint's limit is this process's: those that want some share it."""
        if max_concurrent is None:
            return NO_LIMIT
        return max(1, max_concurrent // self._processes(_subject(endpoint_id)))

    def _processes(self, subject: str) -> int:
        return 1 + sum(1 for other in self._demands.others(subject) if other.running)

    def admit(self, caller: Caller, now: float) -> list[tuple[str, str]]:
        """Count a request of a caller who has a limit; return the headers that tell how much of it is left.

        Raises:
            RateLimitError: if it is one too many.
        """
        subject, minute = f"key:{caller.id}", int(now) // MINUTE
        headers: list[tuple[str, str]] = []
        left = 0
        if (limit := caller.requests_per_minute) is not None:
            left = limit - self._demands.requests(subject, minute)
            headers = _headers(limit, max(0, left - 1), MINUTE - now % MINUTE)
            if left <= 0:
                raise RateLimitError(
                    f"The key '{caller.name}' may make {limit} requests a minute.",
                    seconds=math.ceil(MINUTE - now % MINUTE),
                    headers=headers,
                )
        if caller.max_concurrent is not None:
            running = self._demands.running[subject] + sum(other.running for other in self._demands.others(subject))
            if running >= caller.max_concurrent:
                told = f"The key '{caller.name}' may have {caller.max_concurrent} requests running at once."
                raise RateLimitError(told, seconds=1, headers=headers)
        self._demands.count(subject, minute)
        self._demands.begin(subject)
        return headers

    def dismiss(self, caller: Caller) -> None:
        """Note that a request that was admitted is done."""
        self._demands.end(f"key:{caller.id}")

    async def close(self) -> None:
        """Give everything back."""
        if self._watching is not None:
            self._watching.cancel()
        await self._demands.close()


def _subject(endpoint_id: int) -> str:
    return f"endpoint:{endpoint_id}"


def _headers(limit: int, remaining: int, reset_seconds: float) -> list[tuple[str, str]]:
    return [
        ("x-ratelimit-limit-requests", str(limit)),
        ("x-ratelimit-remaining-requests", str(remaining)),
        ("x-ratelimit-reset-requests", f"{math.ceil(reset_seconds)}s"),
    ]
