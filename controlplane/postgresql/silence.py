"""Connections to PostgreSQL that notice when it says nothing.

A server that hangs, or a network that forwards nothing, closes no connection and acknowledges every packet: libpq would
wait for ever, and neither the kernel nor a limit that the server itself keeps would end that. So whoever waits for long
asks, on a connection of its own, whether the server is there and works on what it was asked: only then waiting goes on.

What was found counts for every connection of this process: while the server is silent, one at a time tries to connect,
and the others fail at once, as if it refused them.
"""

import re
import threading
import time
from collections.abc import Generator
from typing import Any, Self, TypeVar

import psycopg
from psycopg.errors import ConnectionTimeout

# After so long without a word, in seconds, the server is asked whether it works; again and again.
PATIENCE_SECONDS = 3.0
# So long it may take to say so; libpq counts in whole seconds, and takes 1 for 2.
KNOCK_SECONDS = 2
# For so long after a connection was not made in time, nobody tries another.
PAUSE_SECONDS = 1.0
# So long after the server should have ended a statement itself it is taken to be unable to.
OVERDUE_SECONDS = 5.0

# Waiting for a lock is work; waiting for the disk to take a commit, or for a copy to do so, can take for ever. Who
# writes much waits for the disk again and again, and works in between: only who is never seen at work hangs.
WAITS_TO_COMMIT = """
SELECT coalesce(wait_event, '') = 'SyncRep' OR coalesce(wait_event, '') ILIKE 'wal%%'
FROM pg_stat_activity WHERE pid = %s AND state = 'active'
"""
LOOKS, LOOK_PAUSE = 12, 0.15  # seconds

# The parameters that are about rows and cursors: all others say where the server is, and who asks.
DJANGOS_OWN = frozenset({"context", "cursor_factory", "prepare_threshold", "connect_timeout", "autocommit"})

_OWN_LIMIT = re.compile(r"statement_timeout=(\d+)\b")  # milliseconds

T = TypeVar("T")


class Silence:
    """Whether the server was silent when it was last asked: one for each process."""

    def __init__(self) -> None:
        self._trying = threading.Lock()
        self._since: float | None = None  # of the last attempt, on the monotonic clock; None: it speaks

    def begin(self) -> None:
        """Note that the server is silent."""
        self._since = time.monotonic()

    def end(self) -> None:
        """Note that it speaks."""
        self._since = None

    def is_fresh(self) -> bool:
        """Whether it was silent just now, so that nobody need ask again."""
        return self._since is not None and time.monotonic() - self._since < PAUSE_SECONDS

    def may_try(self) -> bool:
        """Whether this thread may connect; if so, it is to call `tried`."""
        return not self.is_fresh() and self._trying.acquire(blocking=False)

    def tried(self) -> None:
        """Let others try."""
        self._trying.release()

    @property
    def is_on(self) -> bool:
        """Whether the server was silent when it was last asked."""
        return self._since is not None


silence = Silence()


class WatchedConnection(psycopg.Connection[Any]):
    """A connection on which nobody waits for a server that is silent."""

    parameters: dict[str, Any]
    limit_seconds = float("inf")  # the server's own limit for a statement, and some more

    @classmethod
    def connect(cls, conninfo: str = "", **parameters: Any) -> Self:
        """Connect as psycopg does, in the time that `connect_timeout` says.

        Raises:
            OperationalError: at once, if the server was silent a moment ago or another thread is trying.
        """
        if not silence.is_on:
            return cls._connect(conninfo, parameters)
        if not silence.may_try():
            raise psycopg.OperationalError("PostgreSQL does not answer.")
        try:
            return cls._connect(conninfo, parameters)
        finally:
            silence.tried()

    @classmethod
    def _connect(cls, conninfo: str, parameters: dict[str, Any]) -> Self:
        try:
            made = super().connect(conninfo, **parameters)
        except ConnectionTimeout:
            silence.begin()
            raise
        silence.end()
        made.parameters = parameters
        if own := _OWN_LIMIT.search(str(parameters.get("options", ""))):
            made.limit_seconds = int(own[1]) / 1000 + OVERDUE_SECONDS
        return made

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for the server, as psycopg does, for as long as it works.

        Raises:
            OperationalError: if it is silent; the connection is closed.
        """
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Pass on what the generator wants and gets. It gets nothing every tenth of a second in which nothing comes."""
        try:
            wish = next(gen)
            asked_at = doubted_at = time.monotonic()
            while True:
                ready = yield wish
                if ready:
                    asked_at = doubted_at = time.monotonic()
                elif (now := time.monotonic()) - doubted_at >= PATIENCE_SECONDS:
                    self._doubt(now - asked_at)
                    doubted_at = time.monotonic()
                wish = gen.send(ready)
        except StopIteration as end:
            found: T = end.value
            return found

    def _doubt(self, waited: float) -> None:
        """Return if the server works on what it was asked."""
        if waited < self.limit_seconds and not silence.is_fresh() and self._is_at_work():
            return
        self.pgconn.finish()
        raise psycopg.OperationalError(f"PostgreSQL has said nothing for {waited:.0f} seconds.")

    def _is_at_work(self) -> bool:
        asked = {name: value for name, value in self.parameters.items() if name not in DJANGOS_OWN}
        try:
            with Knock.connect(**asked, connect_timeout=KNOCK_SECONDS, autocommit=True) as knock:
                for _ in range(LOOKS):
                    found = knock.execute(WAITS_TO_COMMIT, [self.info.backend_pid]).fetchone()
                    if found is None or not found[0]:
                        return found is not None
                    time.sleep(LOOK_PAUSE)
                return False
        except psycopg.Error as error:
            if isinstance(error, ConnectionTimeout | SilentError):
                silence.begin()
            return False


class SilentError(psycopg.OperationalError):
    """The server took the connection, and did not say what it was asked."""


class Knock(psycopg.Connection[Any]):
    """A connection for one short question, which is not waited for."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for the server for a moment.

        Raises:
            SilentError: if that is not enough.
        """
        return super().wait(self._hurried(gen), *args, **kwargs)

    def _hurried(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        until = time.monotonic() + KNOCK_SECONDS
        try:
            wish = next(gen)
            while True:
                ready = yield wish
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()
                    raise SilentError("PostgreSQL takes connections and answers nothing.")
                wish = gen.send(ready)
        except StopIteration as end:
            found: T = end.value
            return found
