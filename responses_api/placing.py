"""Where a request goes, as long as it takes to know: it waits for what is paused, and for what may come back.

Waiting costs nothing but memory: whoever waits is woken when the configuration or a circuit changes.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from responses_api.balancing import Candidates
from responses_api.circuits import Circuits
from responses_api.directory import Directory
from responses_api.errors import NoEngineError, RetryableError
from responses_api.retries import MAX_PAUSE, pause
from responses_api.sessions import Sessions, send_anywhere, why_none
from responses_api.snapshot import ProfileView
from responses_api.trace import Trace

FOR_EVER = float("inf")


@dataclass(slots=True)
class Effort:
    """What was done so far to have one request answered."""

    tried: set[int] = field(default_factory=set)  # the endpoints that gave no answer in this round
    rounds: int = 0  # how often all of them were tried
    reached: int = 0  # how many attempts cost an engine something
    error: RetryableError | None = None  # of the last attempt
    waits_since: float | None = None  # on the monotonic clock: since when no endpoint could be asked, or none answered

    def waited(self, now: float) -> float:
        """Return for how long the request has looked for an engine, in seconds."""
        if self.waits_since is None:
            self.waits_since = now
        return now - self.waits_since


class Obstacle(NamedTuple):
    """Why a request cannot be put to an engine now, and for how many seconds it waits for that to change."""

    why: str
    patience: float


class Placing:
    """The places of one event loop's requests."""

    def __init__(self, directory: Directory, sessions: Sessions, circuits: Circuits) -> None:
        self._directory = directory
        self._sessions = sessions
        self._circuits = circuits

    async def look(self, trace: Trace) -> None:
        """Let the request know the pool as it is now, with the settings that it began with, and what of it is its
        own endpoint.
        """
        if (newer := (await self._directory.snapshot()).profile_by_id(trace.profile.id)) is not None:
            trace.profile = trace.profile.with_pool_of(newer)
        trace.profile = self._circuits.pool(trace.profile)
        trace.rebind()

    async def place(self, trace: Trace, effort: Effort) -> None:
        """Return as soon as the request is bound to an endpoint that may be asked, and was not in vain.

        Raises:
            NoEngineError: if there was none for as long as the profile lets requests wait.
            RetryableError: the last one, if an engine was asked before.
        """
        trace.is_trial = False
        if effort.error is None and self._circuits.are_closed and _is_open(trace):
            return
        if effort.error is not None:
            await asyncio.sleep(pause(0, random.random()))  # noqa: S311
        await self.look(trace)
        while (obstacle := await self._bind(trace, effort)) is not None:
            await self._wait(trace, effort, obstacle)
            await self.look(trace)

    async def _bind(self, trace: Trace, effort: Effort) -> Obstacle | None:
        """Bind the request to an endpoint; return what is in the way, if something is."""
        while True:
            profile = trace.profile
            if profile.paused:
                return Obstacle(f"The model '{profile.settings.name}' is paused.", FOR_EVER)
            trace.rebind()
            if trace.endpoint is None or trace.endpoint.id in effort.tried:
                if (obstacle := await self._go_elsewhere(trace, effort)) is not None:
                    return obstacle
                continue
            if trace.endpoint.paused:
                return Obstacle(f"The endpoint {trace.endpoint.name} is paused.", FOR_EVER)
            if self._circuits.are_closed:
                return None
            is_open, trace.is_trial = await self._circuits.let_in(trace.endpoint.id)
            if is_open:
                return None
            await self.look(trace)

    async def _go_elsewhere(self, trace: Trace, effort: Effort) -> Obstacle | None:
        profile = trace.profile
        others = {pk: name for pk, name in profile.open_to_new.items() if pk not in effort.tried}
        if not others:
            return await self._start_over(trace, effort)
        if trace.pin is None:
            send_anywhere(trace, others)
        else:
            away = profile.unusable.get(trace.pin.endpoint_id or 0, "its endpoint left the pool")
            await self._sessions.move(trace, trace.pin, others, effort.error.message if effort.error else away)
        return None

    async def go_past(self, trace: Trace, others: Candidates, reason: str) -> None:
        """Bind the request to one of the others, because its own endpoint has no room for it."""
        if trace.pin is None:
            send_anywhere(trace, others)
        else:
            await self._sessions.move(trace, trace.pin, others, reason)

    async def _start_over(self, trace: Trace, effort: Effort) -> Obstacle | None:
        """Ask again those that gave no answer, after a pause; return the obstacle if there is nobody to ask."""
        profile = trace.profile
        may_be_asked = effort.tried & profile.usable.keys()
        if not may_be_asked or effort.error is None:
            return _nobody(profile)
        effort.rounds += 1
        told = getattr(effort.error, "told_seconds", None)
        seconds = pause(effort.rounds, random.random(), told=told)  # noqa: S311
        left = min(max(profile.patience.hold - effort.waited(time.monotonic()), MAX_PAUSE), trace.seconds_left())
        if seconds > left:
            raise effort.error
        effort.tried.clear()
        await (asyncio.sleep(seconds) if told else self._directory.changed(seconds))
        return None

    async def _wait(self, trace: Trace, effort: Effort, obstacle: Obstacle) -> None:
        """Wait for a change. Raises if the request has waited for long enough."""
        if obstacle.patience == FOR_EVER:
            effort.waits_since = None  # whoever pauses says when it goes on
            left = trace.seconds_left()
        else:
            left = min(obstacle.patience - effort.waited(time.monotonic()), trace.seconds_left())
        if left <= 0:
            raise effort.error or NoEngineError(obstacle.why)
        await self._directory.changed(min(left, self._circuits.next_trial(trace.profile)))


def _is_open(trace: Trace) -> bool:
    """Whether the request is bound, and nothing is paused."""
    return trace.endpoint is not None and not trace.endpoint.paused and not trace.profile.paused


def _nobody(profile: ProfileView) -> Obstacle:
    if any(view.paused for view in profile.usable.values()):
        return Obstacle(why_none(profile), FOR_EVER)
    return Obstacle(why_none(profile), profile.patience.hold if profile.may_return else 0)
