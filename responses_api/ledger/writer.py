"""One thread that commits whatever is queued in one transaction: a busy gateway pays for one commit, not a hundred."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import connections

from responses_api.errors import UnavailableError
from responses_api.ledger.away import Away
from responses_api.ledger.batch import AWAY, InDoubtError, Job, Task, Write, commit
from responses_api.ledger.rows import Change

logger = logging.getLogger(__name__)

MAX_QUEUE = 10_000
MAX_BATCH = 500
CLOSE_SECONDS = 60
# How long the next batch is let grow: so long for each entry that the last one had, and never longer than this.
LINGER_SECONDS = 0.0003
MAX_LINGER_SECONDS = 0.005


class Writer:
    """The thread and its queue. Started by the first job; `close` writes what is left and ends it."""

    def __init__(
        self,
        *,
        write: Write = commit,
        max_queue: int = MAX_QUEUE,
        away: Away | None = None,
    ) -> None:
        """`away`: what is done while the database is away; without it, requests are refused then."""
        self._write = write
        self.away = away or Away(None)
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._max_queue = max_queue
        self._thread: threading.Thread | None = None
        self._ending = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self, task: Task) -> asyncio.Future[Any]:
        """Queue a task; return the future of its result. Called on the event loop, as `tell` is.

        Raises:
            UnavailableError: if the queue is full, because the database does not keep up or does not answer.
        """
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put(Job(task, waiter))
        return waiter

    def tell(self, task: Task) -> None:
        """Queue a task whose result nobody wants. Raises UnavailableError if the queue is full."""
        self._put(Job(task))

    def _put(self, job: Job) -> None:
        if self._thread is None:
            self._loop, self._ending = asyncio.get_running_loop(), False
            self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
            self._thread.start()
        if self._queue.qsize() >= self._max_queue:
            raise UnavailableError("Roundhouse's database does not keep up; the ledger's queue is full.")
        self._queue.put(job)

    def _run(self) -> None:
        try:
            self.away.start()
            while (batch := self._next_batch()) is not None:
                try:
                    self._settle(batch)
                except Exception as error:
                    logger.exception("The ledger's writer failed; it goes on.")
                    _fail(batch, error)
                self._deliver(batch)
                if len(batch) > 1:  # busy: let more come together. A single caller is never kept waiting.
                    time.sleep(min(len(batch) * LINGER_SECONDS, MAX_LINGER_SECONDS))
        finally:
            self.away.close()
            connections.close_all()

    def _next_batch(self) -> list[Job] | None:
        """Wait for a job and return it with all that queued up meanwhile; None once it is time to end."""
        first = None if self._ending else self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._ending = True
                break
            batch.append(job)
        return batch

    def _settle(self, batch: Sequence[Job]) -> None:
        """Write a batch: to the database, or to the spool while that is away. If the database refuses it, its members
        are written one by one, so that one that is wrong harms no other.
        """
        if self.away.is_on and self.away.take(batch):
            return
        try:
            self._write_or_reconnect(batch)
        except AWAY as error:
            left = [job for job in batch if job.error is None]
            if not self.away.begin(left, error):
                logger.exception(
                    "The ledger cannot be written: the database is away. %d requests are refused.", len(left)
                )
                _fail(left, error)
        except Exception as error:
            if len(batch) > 1:
                for job in batch:
                    self._settle([job])
                return
            logger.exception("The ledger refuses an entry: %r", batch[0].task)
            _fail(batch, error)

    def _write_or_reconnect(self, batch: Sequence[Job]) -> None:
        """Write the batch, on a new connection if the old one is dead. What may be done already is not done twice."""
        try:
            self._write(batch)
        except AWAY as error:
            connections.close_all()
            for job in batch:
                job.again = True
                if isinstance(error, InDoubtError) and isinstance(job.task, Change):
                    job.error = UnavailableError("Roundhouse's database went away: this may be done, or not.")
            self._write([job for job in batch if job.error is None])

    def _deliver(self, batch: Sequence[Job]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_resolve, batch)

    async def close(self) -> None:
        """Write what is queued, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
            self._thread = None


def _fail(batch: Sequence[Job], error: Exception) -> None:
    for job in batch:
        job.error = UnavailableError("Roundhouse could not record this request, so it is not answered.")
        job.error.__cause__ = error


def _resolve(batch: Sequence[Job]) -> None:
    for job in batch:
        if job.waiter is None or job.waiter.done():
            continue
        if job.error is not None:
            job.waiter.set_exception(job.error)
        else:
            job.waiter.set_result(job.result)
