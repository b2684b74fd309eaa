"""One Roundhouse host: its lock, its port, its programs, and the end of all of them.

Used by `manage.py serve` (production) and `manage.py quickstart` (`make run`).
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from controlplane.supervisor import Supervisor, programs
from launcher.reconcile import shutdown_local

TICK_SECONDS = 0.2
WEB_DEADLINE_SECONDS = 60.0


class HostError(Exception):
    """The host cannot be started; the message is one line that says what is wrong and what to do."""


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the data directory: one supervisor each.

    Raises:
        HostError: if another one has it.
    """
    settings.DATA_DIR.prepare()
    path = settings.DATA_DIR.root / "serve.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise HostError(
                f"Roundhouse already runs on {settings.DATA_DIR.root} (process {file.read().strip() or 'unknown'}): "
                "stop it first, or set ROUNDHOUSE_DATA_DIR to another directory."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def own_address() -> str:
    """Return the address under which this machine reaches what listens on ROUNDHOUSE_HOST."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104  (compared, not bound)


def check_port() -> None:
    """Return if the port can be listened on.

    Raises:
        HostError: if it is taken or forbidden.
    """
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except OSError as error:
            raise HostError(
                f"{settings.HOST}:{settings.PORT} cannot be used ({error.strerror}): "
                f"set PORT to a free one, for example PORT={settings.PORT + 1 if settings.PORT < 65535 else 8081}."  # noqa: PLR2004
            ) from None


def no_database(error: DatabaseError) -> str:
    """Return one line for a database that cannot be used."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"the database cannot be used ({said}): check DATABASE_URL and the data directory."


def check_database() -> None:
    """Return if the database answers and has every migration.

    Raises:
        HostError: if it does not.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise HostError(no_database(error)) from None
    if missing:
        raise HostError(f"the database lacks {len(missing)} migrations: run `{sys.executable} manage.py migrate`.")


class Host:
    """The programs of this host, from start to proven end."""

    def __init__(self, *, say: Callable[[str], None], log_to_files: bool) -> None:
        self.say = say
        self.stopping = threading.Event()
        self.supervisor = Supervisor(
            programs(
                host=settings.HOST,
                port=settings.PORT,
                workers=settings.WEB_WORKERS,
                data_dir=settings.DATA_DIR.root,
                shutdown_seconds=settings.SHUTDOWN_SECONDS,
            ),
            env={**os.environ, "ROUNDHOUSE_DATA_DIR": str(settings.DATA_DIR.root)},
            log_dir=settings.DATA_DIR.logs if log_to_files else None,
            say=say,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start everything; on the way out, whatever happened, end everything, engines on a local Ray included."""
        check_port()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self.supervisor.start()
            self._wait_for_web()
            yield
        finally:
            self.say("stopping: programs, engines, Ray")
            begun = time.monotonic()
            self.supervisor.stop()
            for problem in shutdown_local():
                self.say(problem)
            self.say(f"stopped in {time.monotonic() - begun:.0f} s")

    def tick(self) -> bool:
        """Tend the programs for a moment; return False once the host is to stop."""
        self.supervisor.tend()
        return not self.stopping.wait(TICK_SECONDS)

    def _wait_for_web(self) -> None:
        deadline = time.monotonic() + WEB_DEADLINE_SECONDS
        while self.tick():
            with contextlib.suppress(OSError), socket.create_connection((own_address(), settings.PORT), timeout=1):
                return
            if time.monotonic() > deadline:
                raise HostError(
                    f"the web server did not listen on {settings.HOST}:{settings.PORT} within "
                    f"{WEB_DEADLINE_SECONDS:.0f} s: see {settings.DATA_DIR.logs / 'web.log'}"
                )

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping.set()
