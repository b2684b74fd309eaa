"""The servers that are measured, each as a process of its own on a free loopback port."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from launcher.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
SEED = """
from endpoints.models import ApiKey, ConfigProfile, Endpoint
endpoint = Endpoint.objects.create(name="double", base_url="{engine}/v1", health="healthy")
ConfigProfile.objects.create(name="bench").endpoints.add(endpoint)
print(ApiKey.issue(name="bench")[1])
"""


@dataclass(frozen=True)
class Server:
    """A running server. `name` is what the table calls it."""

    name: str
    port: int
    key: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the user and system time of its whole process tree."""
        root = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def memory_mib(self) -> float:
        """Return the resident memory of its whole process tree."""
        root = psutil.Process(self.process.pid)
        return sum(each.memory_info().rss for each in (root, *root.children(recursive=True))) / 2**20


@contextlib.contextmanager
def uvicorn(name: str, application: str, *, key: str = "", **env: str) -> Iterator[Server]:
    """Run the application on Uvicorn, as `manage.py serve` does, until the block ends."""
    port = free_port("127.0.0.1")
    flags = "--loop uvloop --http httptools --lifespan auto --no-access-log --log-level warning --timeout-keep-alive 75"
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), *flags.split()]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env})
    try:
        _wait_for(port, process)
        yield Server(name, port, key, process)
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def roundhouse(name: str, engine: str, data_dir: Path, **env: str) -> Iterator[Server]:
    """Run Roundhouse's web process on a fresh database, with one profile over one endpoint."""
    mine = {**os.environ, "ROUNDHOUSE_DATA_DIR": str(data_dir), **env}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity=0"], cwd=ROOT, env=mine, check=True)
    seed = [*manage, "shell", "--no-imports", "-c", SEED.format(engine=engine)]
    seeded = subprocess.run(seed, cwd=ROOT, env=mine, check=True, capture_output=True, text=True)
    key = seeded.stdout.strip()
    with uvicorn(name, "controlplane.asgi:application", key=key, ROUNDHOUSE_DATA_DIR=str(data_dir), **env) as server:
        yield server


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}: {process.args!r}")
