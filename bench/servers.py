"""The servers that are measured, each on a free loopback port."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.database import FILL, fresh_postgres
from bench.load import Target
from bench.processes import Meter
from launcher.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
UVICORN = "--loop uvloop --http httptools --lifespan auto --no-access-log --log-level warning --timeout-keep-alive 75"
SEED = """
from endpoints.models import ApiKey, ConfigProfile, Endpoint
endpoint = Endpoint.objects.create(name="double", base_url="{engine}/v1", health="healthy")
for name in ("bench", "bench-slow"):
    ConfigProfile.objects.create(name=name).endpoints.add(endpoint)
print(ApiKey.issue(name="bench")[1])
"""


@dataclass(frozen=True)
class Server:
    """A running server. `name` is what the table calls it."""

    name: str
    target: Target
    meter: Meter
    sessions: int = 0  # in its database, before the load


@dataclass(frozen=True)
class Subject:
    """A way to run Roundhouse."""

    name: str
    postgres: bool = False
    workers: int = 1
    daphne: bool = False
    sessions: int = 0


SUBJECTS: Mapping[str, Subject] = {
    "sqlite": Subject("Roundhouse, SQLite"),
    "sqlite-2": Subject("Roundhouse, SQLite, 2 workers", workers=2),
    "sqlite-full": Subject("Roundhouse, SQLite", sessions=1_000_000),
    "daphne": Subject("Roundhouse, SQLite, Daphne", daphne=True),
    "postgres": Subject("Roundhouse, PostgreSQL", postgres=True),
    "postgres-2": Subject("Roundhouse, PostgreSQL, 2 workers", postgres=True, workers=2),
    "postgres-full": Subject("Roundhouse, PostgreSQL", postgres=True, sessions=1_000_000),
}


@contextlib.contextmanager
def uvicorn(application: str, *, workers: int = 1, **env: str) -> Iterator[tuple[int, int]]:
    """Run the application on Uvicorn, as `manage.py serve` does, until the block ends; yield its port and its pid."""
    with _running(["-m", "uvicorn", application, "--workers", str(workers), *UVICORN.split()], env) as found:
        yield found


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """Run the engine double; yield where it is."""
    with uvicorn("bench.engine:app") as (port, _):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def relay(engine_url: str) -> Iterator[Server]:
    """Run the bare relay."""
    with uvicorn("bench.relay:app", BENCH_ENGINE=engine_url) as (port, pid):
        yield Server("bare relay", Target(f"http://127.0.0.1:{port}/v1"), Meter(pid))


@contextlib.contextmanager
def roundhouse(subject: Subject, engine_url: str, data_dir: Path) -> Iterator[Server]:
    """Run Roundhouse's web processes on a fresh database, with two profiles over one endpoint."""
    with contextlib.ExitStack() as stack:
        env = {"ROUNDHOUSE_DATA_DIR": str(data_dir)}
        if subject.postgres:
            env["DATABASE_URL"] = stack.enter_context(fresh_postgres())
        _manage(env, "migrate", "--verbosity=0")
        key = _manage(env, "shell", "--no-imports", "-c", SEED.format(engine=engine_url)).strip()
        if subject.sessions:
            _manage(env, "shell", "--no-imports", "-c", FILL.replace("{last}", str(subject.sessions - 1)))
        application = "controlplane.asgi:application"
        if subject.daphne:
            running = _running(["-m", "daphne", "-b", "127.0.0.1", "-v", "0", application], env)
        else:
            running = uvicorn(application, workers=subject.workers, **env)
        port, pid = stack.enter_context(running)
        yield Server(subject.name, Target(f"http://127.0.0.1:{port}/v1", key), Meter(pid), subject.sessions)


def _manage(env: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


@contextlib.contextmanager
def _running(arguments: list[str], env: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    port = free_port("127.0.0.1")
    command = [sys.executable, *arguments, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env})
    try:
        _wait_for(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}: {process.args!r}")
