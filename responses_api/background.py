"""Answers that their callers come back for: each is stored as queued, worked on by a task, and stored at its end.

A process says every few seconds, in the rows themselves, that it still works on them. Rows whose lease is past belong
to a process that is gone: whoever reads one, and a task of beat, lets it fail.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from responses_api import store
from responses_api.errors import BacklogError, GatewayError, ShuttingDownError
from responses_api.ledger import Ledger, changes
from responses_api.models import StoredResponse
from responses_api.recording import Recording
from responses_api.store import Store
from responses_api.trace import Trace

logger = logging.getLogger(__name__)

MAX_RUNNING = 64
MAX_WAITING = 1_000
# Seconds: how soon a cancellation by another process is seen, how often a lease is renewed, and how long it is.
LOOK_SECONDS = 0.5
RENEW_SECONDS = 5.0
LEASE_SECONDS = 30.0

CANCELLED = "The response was cancelled."


def lease() -> datetime:
    """Return until when a process that says so now is taken to be at work."""
    return datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS)


class Background:
    """The work of one event loop. `work` answers a request into an outlet, and records it; it raises nothing but
    CancelledError.
    """

    def __init__(
        self,
        ledger: Ledger,
        door: Store,
        *,
        work: Callable[[Trace, Recording], Awaitable[None]],
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._ledger = ledger
        self._door = door
        self._work = work
        self._places = asyncio.Semaphore(max_running)
        self._max = max_running + max_waiting
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stored: set[str] = set()  # those of them whose rows are there
        self._recordings: dict[str, Recording] = {}
        self._watching: asyncio.Task[None] | None = None

    async def begin(self, trace: Trace) -> tuple[bytes, Recording]:
        """Store the request as queued and have it worked on; return its resource, and where its events will be.

        Raises:
            BacklogError: if too many are waiting.
            UnavailableError: if it could not be stored.
            ShuttingDownError: if this process ends meanwhile.
        """
        if len(self._tasks) >= self._max:
            raise BacklogError(f"{len(self._tasks)} responses wait or run in the background already.")
        row = trace.stored(trace.exchange.queued(trace.stamp()))
        row.lease_until = lease()
        response_id, recording = row.response_id, Recording(streams=trace.exchange.wants_stream)
        stored = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                await self._ledger.change(partial(changes.begin, row))
            except Exception as error:  # noqa: BLE001  (who waits for it raises it)
                stored.set_exception(error)
                return
            except asyncio.CancelledError:
                stored.set_exception(ShuttingDownError())  # nobody else could know of it
                raise
            self._stored.add(response_id)
            stored.set_result(None)
            await self._run(trace, recording)

        self._recordings[response_id] = recording
        self._tasks[response_id] = task = asyncio.create_task(run())
        task.add_done_callback(lambda _: self._forget(response_id))
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        await asyncio.shield(stored)  # a caller who leaves now has begun it
        return row.body, recording

    async def _run(self, trace: Trace, recording: Recording) -> None:
        response_id = trace.row.response_id
        unwanted = GatewayError(CANCELLED, code="cancelled")
        try:
            async with self._places:
                if await self._ledger.change(partial(changes.start, response_id)):
                    await self._work(trace, recording)
        except asyncio.CancelledError:
            await self._end(trace, recording, unwanted)
            raise
        except GatewayError as error:  # it could not be started: whoever looks after its lease is past will say so
            logger.warning("A response in the background is given up: %s: %s", response_id, error.message)
            await self._end(trace, recording, error)
        else:
            await self._end(trace, recording, unwanted)  # unless the work has done it

    async def _end(self, trace: Trace, recording: Recording, error: GatewayError) -> None:
        """Let nobody read along for ever, and the events be read again."""
        if not recording.streams:
            return
        if not recording.ended:
            await recording.end(trace.exchange.failed(error, trace.stamp()))
        await self._keep_events(trace.row.response_id, recording)

    async def _keep_events(self, response_id: str, recording: Recording) -> None:
        """Store the events. Without them the response is whole; its stream is gone, and the log says so."""
        try:
            await self._ledger.change(partial(changes.keep_events, response_id, recording.events()))
        except GatewayError as error:
            logger.warning("The events of a response in the background are not stored: %s: %s", response_id, error)

    def _forget(self, response_id: str) -> None:
        self._tasks.pop(response_id, None)
        self._stored.discard(response_id)
        self._recordings.pop(response_id, None)

    def recording(self, response_id: str) -> Recording | None:
        """Return the events of a stream that this process works on."""
        return self._recordings.get(response_id)

    def cancel(self, response_id: str) -> None:
        """End the work on a response, if this process does it."""
        if (task := self._tasks.get(response_id)) is not None:
            task.cancel()

    async def _watch(self) -> None:
        """While there is work, see what others have cancelled or deleted, and renew the leases."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        while self._tasks:
            await asyncio.sleep(LOOK_SECONDS)
            mine = [*self._stored]
            try:
                if clock() - renewed > RENEW_SECONDS:
                    await self._ledger.change(partial(changes.renew, mine, lease()))
                    renewed = clock()
                standing = await self._door.read(store.statuses, mine)
            except GatewayError as error:
                logger.warning("The responses in the background cannot be looked after: %s", error.message)
                continue
            for response_id in mine:
                if standing.get(response_id) in {None, StoredResponse.Status.CANCELLED}:
                    self.cancel(response_id)
        self._watching = None

    async def close(self) -> None:
        """End all work, and let what was not done fail: nobody else goes on with it."""
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        if tasks:
            with suppress(GatewayError):
                await self._ledger.change(partial(changes.give_up, datetime.now(UTC), [*tasks]))
