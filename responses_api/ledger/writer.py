"""One thread that commits whatever is queued in one transaction: a busy gateway pays for one commit, not a hundred."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import close_old_connections, connection, connections, transaction
from django.db.utils import InterfaceError, OperationalError

from responses_api.errors import UnavailableError
from responses_api.ledger import statements
from responses_api.ledger.rows import PinRequest, Repin, Row

logger = logging.getLogger(__name__)

MAX_QUEUE = 10_000
MAX_BATCH = 500
CLOSE_SECONDS = 60
LINGER_SECONDS = 0.002

Task = PinRequest | Repin | Row


@dataclass(slots=True)
class Job:
    """A task, who waits for it (nobody, if the caller has left), and what came of it."""

    task: Task
    waiter: asyncio.Future[Any] | None = None
    result: Any = None
    error: Exception | None = None


def commit(jobs: Sequence[Job]) -> None:
    """Do the jobs' tasks in one transaction and set their results. Re-pins are rare and have one each.

    Re-pins come first: they may be done twice. A row must not be, so nothing that can fail comes after its commit.
    """
    for job in jobs:
        if isinstance(job.task, Repin):
            job.result = statements.repin(job.task)
    pins = [(job, task) for job in jobs if isinstance(task := job.task, PinRequest)]
    records = [(job, task) for job in jobs if isinstance(task := job.task, Row)]
    if pins or records:
        with transaction.atomic(), connection.cursor() as cursor:
            if pins:
                found = statements.pin_all(cursor, [task for _, task in pins])
                for job, request in pins:
                    job.result = found[request.place]
            if records:
                bound = statements.record_all(cursor, [task for _, task in records])
                for job, row in records:
                    job.result = bound.get(row.session_id) if row.session_id else None


class Writer:
    """The thread and its queue. Started by the first job; `close` writes what is left and ends it."""

    def __init__(self, *, write: Callable[[Sequence[Job]], None] = commit, max_queue: int = MAX_QUEUE) -> None:
        self._write = write
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
        looked = 0.0
        try:
            while (batch := self._next_batch()) is not None:
                if time.monotonic() - looked > 1:  # this may ask the database whether the connection still lives
                    close_old_connections()
                    looked = time.monotonic()
                self._settle(batch)
                self._deliver(batch)
                if len(batch) > 1:  # busy: let more come together. A single caller is never kept waiting.
                    time.sleep(LINGER_SECONDS)
        finally:
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
        """Write a batch. If it cannot be written, its members are written one by one, so that one that the database
        refuses harms no other; if the database itself is away, a new connection is tried once.
        """
        try:
            self._write_or_reconnect(batch)
        except (OperationalError, InterfaceError) as error:
            logger.exception("The ledger cannot be written: the database is away. %d requests are refused.", len(batch))
            self._fail(batch, error)
        except Exception as error:
            if len(batch) > 1:
                for job in batch:
                    self._settle([job])
                return
            logger.exception("The ledger refuses an entry: %r", batch[0].task)
            self._fail(batch, error)

    def _write_or_reconnect(self, batch: Sequence[Job]) -> None:
        try:
            self._write(batch)
        except (OperationalError, InterfaceError):
            connections.close_all()
            self._write(batch)

    @staticmethod
    def _fail(batch: Sequence[Job], error: Exception) -> None:
        for job in batch:
            job.error = UnavailableError("Roundhouse could not record this request, so it is not answered.")
            job.error.__cause__ = error

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


def _resolve(batch: Sequence[Job]) -> None:
    for job in batch:
        if job.waiter is None or job.waiter.done():
            continue
        if job.error is not None:
            job.waiter.set_exception(job.error)
        else:
            job.waiter.set_result(job.result)
