"""Web processes as in production, which can be killed, beside the database and the engines of a test."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from django.conf import settings
from django.db import connection

from controlplane.supervisor import programs
from endpoints.models import ApiKey, ConfigProfile
from launcher.processes import free_port
from tests.fakes.scripted_vllm import ScriptedVllm
from tests.web.gateway_server import NO_TLS, register, until


def database_url(port: int | str | None = None) -> str:
    """Return the URL of the test's database; PostgreSQL's on another port, if one is given."""
    here = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{here['NAME']}"
    password = f":{quote(here['PASSWORD'])}" if here["PASSWORD"] else ""
    return f"postgres://{here['USER']}{password}@{here['HOST']}:{port or here['PORT'] or 5432}/{here['NAME']}"


@dataclass
class WebProcess:
    """One web process over one data directory."""

    data_dir: Path
    key: str
    database: str = field(default_factory=database_url)
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    host: bool = False  # the whole host, as `manage.py serve` runs it, with two web workers
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients ask."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    @property
    def spool(self) -> list[Path]:
        """The files that wait for the database."""
        return sorted((self.data_dir / "spool").glob("*.jsonl"))

    def start(self) -> None:
        """Return when it answers and is ready."""
        self.launch()
        until(lambda: self.status("/readyz") == 200, seconds=150)

    def launch(self) -> None:
        """Start it; it may not be ready for long."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("ROUNDHOUSE_")}
        env |= {
            "DATABASE_URL": self.database,
            "ROUNDHOUSE_DATA_DIR": str(self.data_dir),
            "ROUNDHOUSE_SECRET_KEY": settings.SECRET_KEY,
            **self.settings,
        }
        argv = programs(host="127.0.0.1", port=self.port, workers=1, data_dir=self.data_dir)[0].argv
        if self.host:
            argv = [sys.executable, "manage.py", "serve"]
            env |= {"PORT": str(self.port), "ROUNDHOUSE_WEB_WORKERS": "2"}
        with (self.data_dir / "web.log").open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=settings.BASE_DIR, env=env, stdout=log, stderr=log)

    def status(self, path: str) -> int:
        """Return the status of a path at the root; 0 if nobody listens."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", verify=NO_TLS, timeout=30).status_code
        except httpx.TransportError:
            return 0

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Let it end, at once unless told otherwise."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def limit_files(self, size: int) -> None:
        """Let no file of the process grow beyond so many bytes, as on a full disk."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, hard))

    def ask(self, session: str, *, key: str | None = None, **body: Any) -> httpx.Response:
        """Ask once."""
        headers = {"authorization": f"Bearer {key or self.key}", "x-session-id": session}
        with httpx.Client(verify=NO_TLS, timeout=90, headers=headers) as client:
            return client.post(f"{self.url}/responses", json={"model": "tiny", "input": "hi", **body})


@contextmanager
def web_processes(folder: Path, number: int = 1, *, engines: int = 2, **options: Any) -> Iterator[list[WebProcess]]:
    """So many web processes that share a database and a data directory, over so many engines of the profile `tiny`."""
    with ExitStack() as stack:
        profile = ConfigProfile.objects.create(name="tiny")
        for place in range(engines):
            engine = stack.enter_context(ScriptedVllm(api_key=f"key-{place}"))
            profile.endpoints.add(register(engine, f"engine-{place}"))
        key = ApiKey.issue(name="caller")[1]
        found = [WebProcess(folder, key, **options) for _ in range(number)]
        for process in found:
            stack.callback(process.end)
            process.launch()
        for process in found:
            until(partial(_ready, process), seconds=150)
        yield found


def _ready(process: WebProcess) -> bool:
    return process.status("/readyz") == 200
