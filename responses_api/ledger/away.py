"""What a process does while its database is away: rows go to the spool, and the spool to the database once it is back.

What only the database can decide is refused. A session's endpoint is not of that kind: a new session, and one that has
to move, falls to an endpoint by its key, so that all processes bind it alike without asking each other.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from django.db import connections

from responses_api.balancing import WAYS, Candidates, Weights
from responses_api.errors import UnavailableError
from responses_api.ledger import replay, spool
from responses_api.ledger.batch import AWAY, Job, Write, commit
from responses_api.ledger.rows import REASON_LENGTH, Change, Pin, PinRequest, Place, Repin, Row, Spooled, storable
from responses_api.ledger.spool import Spool

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
CLOSE_SECONDS = 10.0
SPOOL_BYTES = 2**30
# So many bytes of the spool are replayed while nobody writes: less than a second's work.
LAST_BYTES = 2**18


def choose(place: Place, candidates: Candidates, weights: Weights) -> int | None:
    """Return the endpoint of a session among the candidates, the same in every process; None if there are none."""
    return next(iter(WAYS["session_hash"](candidates, weights, place.key, {})), None)


def settle(job: Job) -> Row | Repin | None:
    """Give a job the result that it has without the database, or the error; return what is to go to the spool."""
    match job.task:
        case Row() as row:
            job.result = Spooled()
            return row
        case PinRequest() as request:
            job.result = Pin(None, choose(request.place, request.candidates, request.weights))
            return None
        case Repin() as asked:
            return _repin(job, asked)
        case Change():
            job.error = UnavailableError("This needs Roundhouse's database, which does not answer now.")
            return None


def _repin(job: Job, asked: Repin) -> Repin | None:
    new = choose(asked.place, asked.candidates, asked.weights)
    job.result = Pin(asked.session_id, asked.old if new is None else new)
    if new is None or asked.session_id is None:  # of a session without a row, its next answer says how it is bound
        return None
    reason = storable(asked.reason, REASON_LENGTH)
    return replace(asked, candidates={new: asked.candidates[new]}, weights={}, reason=reason)


def _lines(batch: Sequence[Job]) -> list[tuple[Job, bytes]]:
    return [(job, spool.encode(entry)) for job in batch if (entry := settle(job)) is not None]


class Away:
    """The spool of one writer, and the thread that empties it."""

    def __init__(
        self,
        folder: Path | None,
        *,
        write: Write = commit,
        check: Callable[[], None] = replay.check_database,
        max_bytes: int = SPOOL_BYTES,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Without a folder nothing is spooled: what cannot be written is refused."""
        self._folder = folder
        self._write = write
        self._check = check
        self._max_bytes = max_bytes
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()  # held while the spool is written to, and while it ends
        self._spool: Spool | None = None
        self._replayed = 0  # bytes of the spool
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.is_on = False
        self.trouble = ""  # why nothing can be written, neither to the database nor to the spool

    @property
    def has_spool(self) -> bool:
        """Whether this process, or another one of this data directory, has written what is not in the database yet."""
        return self._folder is not None and any(self._folder.glob(f"*{spool.SUFFIX}"))

    def start(self) -> None:
        """Look for what processes left behind that are gone, and replay it beside everything else."""
        self._stop.clear()
        if self._folder is not None and self.has_spool:
            self._begin_work(self._folder)

    def begin(self, batch: Sequence[Job], error: Exception) -> bool:
        """Go on without the database, and settle the jobs that it did not take; return False if there is no spool."""
        if self._folder is None:
            return False
        if not self.is_on:
            logger.error("The database is away: %s. Rows of the ledger go to %s.", str(error).strip(), self._folder)
        lines = _lines(batch)
        with self._lock:
            self.is_on = True
            self._append(self._folder, lines)
        self._begin_work(self._folder)
        return True

    def take(self, batch: Sequence[Job]) -> bool:
        """Settle the jobs; return False if the database is back by now, so that they are for it."""
        lines = _lines(batch)
        with self._lock:
            if self.is_on and self._folder is not None:
                self._append(self._folder, lines)
                return True
        for job in batch:
            job.error = None
        return False

    def _append(self, folder: Path, lines: Sequence[tuple[Job, bytes]]) -> None:
        if not lines:
            return
        try:
            if self._spool is None:
                self._spool = Spool.new(folder)
            self._spool.append([line for _, line in lines], max_bytes=self._max_bytes)
        except OSError as error:
            self._refuse([job for job, _ in lines], error)
        else:
            self.trouble = ""

    def _refuse(self, jobs: Sequence[Job], error: OSError) -> None:
        reason = error.strerror or str(error)
        if not self.trouble:
            logger.error("Nothing can be written, neither to the database nor to the spool: %s.", reason)
        self.trouble = f"Roundhouse can write neither to its database nor to its data directory: {reason}."
        for job in jobs:
            job.error = UnavailableError(f"{self.trouble} What cannot be recorded is not answered.")

    def _begin_work(self, folder: Path) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, args=(folder,), name="replay", daemon=True)
                self._thread.start()

    def _work(self, folder: Path) -> None:
        """Try until everything is in the database."""
        try:
            while not self._stop.is_set() and not (self._replay_all(folder) and self._may_rest()):
                self._stop.wait(self._retry_seconds)
        finally:
            connections.close_all()

    def _may_rest(self) -> bool:
        with self._lock:
            if self.is_on:
                return False
            self._thread = None
            return True

    def _replay_all(self, folder: Path) -> bool:
        """Return whether everything is in the database."""
        try:
            if self.is_on:
                self._end(folder)
            replay.adopt(folder, self._write)
        except AWAY:
            connections.close_all()
            return False
        except OSError as error:
            logger.warning("The spool cannot be replayed yet: %s", error)
            return False
        except Exception:
            logger.exception("The spool cannot be replayed.")
            return False
        return True

    def _end(self, folder: Path) -> None:
        """Replay this process's own spool and go back to the database. Only for the last of it, writing has to wait."""
        self._check()
        if self.trouble:
            spool.check_room(folder)
        while self._spool is not None and self._spool.size - self._replayed > LAST_BYTES:
            self._replay_some(folder, self._spool)
        with self._lock:
            if self._spool is not None:
                while self._replayed < self._spool.size:
                    self._replay_some(folder, self._spool)
                self._spool.remove()
                self._spool, self._replayed = None, 0
            self.is_on, self.trouble = False, ""
        logger.info("The database is back, and everything is in it.")

    def _replay_some(self, folder: Path, own: Spool) -> None:
        lines, place = own.read(self._replayed)
        replay.replay(folder, lines, self._write)
        self._replayed = place

    def close(self) -> None:
        """End the thread. What is in the spool then is for whoever comes next."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None
        with self._lock:
            if self._spool is not None:
                self._spool.close()
                self._spool, self._replayed = None, 0
            self.is_on = False
