"""Whether engines that say nothing are at work: a watch over requests that wait for their first byte.

An engine that is asked for a whole answer says nothing until that is there, and that may take an hour. One that hangs
says nothing either, and takes request after request. So an engine that lets a request wait is looked at: it has to say
that it is healthy, and its counters of tokens have to move. What is slow and flows passes both.

All requests of an event loop that wait for one engine are watched by one look; a request that is answered soon costs
an entry in a dictionary.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from responses_api.errors import EngineError, SilentError
from responses_api.progress import Progress, progress_in
from responses_api.snapshot import EndpointView
from responses_api.upstream import Upstream, UpstreamAnswer

# An engine is looked at once a request has waited for so long, in seconds, and again and again.
LOOK_AFTER_SECONDS = 10.0
# So long it has to answer a look.
LOOK_SECONDS = 5.0
# So many looks in a row without an answer are one too many.
MAX_UNANSWERED = 3
SERVER_ERROR = 500


@dataclass(slots=True)
class Standing:
    """What the looks at one engine found."""

    unanswered: int = 0  # in a row
    progress: Progress | None = None
    still_since: float | None = None  # on the loop's clock; None: its metrics do not say whether it gets on

    def verdict(self, now: float, since: float, stall_seconds: float) -> str:
        """Return why a request that has waited since then waits in vain; empty if it may not."""
        if self.unanswered >= MAX_UNANSWERED:
            return "The engine took the request, and answers nothing: not even whether it is healthy."
        if self.still_since is not None and now - max(self.still_since, since) >= stall_seconds:
            return f"The engine took the request, and has read and generated nothing for {stall_seconds:g} seconds."
        return ""


class Vigil:
    """The watch of one event loop. `hung` is told of an engine that hangs, and why that is believed."""

    def __init__(self, upstream: Upstream, *, hung: Callable[[int, str], None]) -> None:
        self._upstream = upstream
        self._hung = hung
        # Those who never wait for long for a stream to go on do not wait for long for it to begin.
        self._after_seconds = min(LOOK_AFTER_SECONDS, upstream.stall_seconds)
        self._look_seconds = min(LOOK_SECONDS, upstream.stall_seconds)
        self._waits: dict[Wait, None] = {}  # the one that has waited longest comes first
        self._standings: dict[int, Standing] = {}
        self._watching: asyncio.Task[None] | None = None

    def over(self, endpoint: EndpointView, stall_seconds: float | None = None) -> "Wait":
        """Watch over the current task while it waits inside; `stall_seconds` in place of the setting.

        Raises SilentError out of the context, if the engine hangs.
        """
        return Wait(self, endpoint, stall_seconds or self._upstream.stall_seconds)

    def begin(self, wait: "Wait") -> None:
        """Watch over a wait."""
        self._waits[wait] = None
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    def end(self, wait: "Wait") -> None:
        """Watch over it no longer."""
        self._waits.pop(wait, None)

    async def _watch(self) -> None:
        """Look, for as long as somebody waits."""
        clock = asyncio.get_running_loop().time
        while self._waits:
            await asyncio.sleep(self._after_seconds / 4)
            late = clock() - self._after_seconds
            waited_for = {wait.endpoint.id: wait.endpoint for wait in self._waits if wait.since <= late}
            self._standings = {pk: self._standings.get(pk, Standing()) for pk in waited_for}
            await asyncio.gather(*(self._look(endpoint) for endpoint in waited_for.values()))
        self._watching = None

    async def _look(self, endpoint: EndpointView) -> None:
        standing, clock = self._standings[endpoint.id], asyncio.get_running_loop().time
        health, metrics = await asyncio.gather(self._ask(endpoint, "/health"), self._ask(endpoint, "/metrics"))
        now = clock()
        is_well = health is not None and health.status < SERVER_ERROR
        standing.unanswered = 0 if is_well else standing.unanswered + 1
        progress = progress_in(metrics.body) if metrics is not None else None
        if progress is None or progress != standing.progress:
            standing.progress, standing.still_since = progress, None if progress is None else now
        for wait in [wait for wait in self._waits if wait.endpoint.id == endpoint.id]:
            if why := standing.verdict(now, wait.since, wait.stall_seconds):
                self._hung(endpoint.id, why)
                wait.give_up(why)

    async def _ask(self, endpoint: EndpointView, path: str) -> UpstreamAnswer | None:
        try:
            return await self._upstream.get(
                endpoint.url(path), api_key=endpoint.api_key, timeout_seconds=self._look_seconds
            )
        except EngineError:
            return None

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])


class Wait:
    """One request that waits for the first byte of its answer."""

    __slots__ = ("_task", "_vigil", "_why", "endpoint", "since", "stall_seconds")

    def __init__(self, vigil: Vigil, endpoint: EndpointView, stall_seconds: float) -> None:
        self._vigil = vigil
        self._why = ""
        self.endpoint = endpoint
        self.stall_seconds = stall_seconds

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (whoever waits is one)
        self._task = task
        self.since = asyncio.get_running_loop().time()
        self._vigil.begin(self)

    def give_up(self, why: str) -> None:
        """End the wait."""
        if not self._why:
            self._why = why
            self._task.cancel()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._vigil.end(self)
        # Whoever cancelled the task beside the vigil means all of it.
        if self._why and not self._task.uncancel() and isinstance(error, asyncio.CancelledError):
            raise SilentError(self._why) from None
