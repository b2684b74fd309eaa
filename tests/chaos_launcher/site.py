"""A whole Roundhouse of real processes, Ray's head among them, whose engines are stand-ins unless told otherwise."""

import contextlib
import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from launcher import command, processes
from launcher.places import Places
from launcher.ray_head import Head, LocalHead
from tests.end_to_end.host import RoundhouseHost, is_taken, until
from tests.fakes import engine_python

SERVER = "vllm.entrypoints.openai.api_server"
# What is promised for every fault, where the machine does nothing else.
NOTICED_SECONDS = 10.0 if os.environ.get("ROUNDHOUSE_TEST_CHAOS_LAUNCHER") else 25.0
KEEPER = "waits-for-a-gpu"  # an engine that is wanted and never fits: the idle Ray head is not taken down meanwhile
# What makes a scripted engine stream for three seconds.
STREAM = '!script {"gap": 0.1, "message": {"content": "' + "word " * 30 + '"}}'
SIZES = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}


@dataclass
class Site:
    """One Roundhouse, asked as scripts ask it: through the control API."""

    host: RoundhouseHost
    dashboard: tuple[str, str] | None = None  # of a cluster that was joined: address and token
    addresses: set[tuple[str, int]] = field(default_factory=set)  # every one that an engine was given

    @property
    def places(self) -> Places:
        """Where its launcher keeps things."""
        root = self.host.data_dir.resolve()
        return Places(root=root, logs=root / "engine-logs")

    @property
    def head(self) -> Head:
        """The local Ray head."""
        found = LocalHead(self.host.data_dir / "ray", self.places).known()
        assert found is not None, "no Ray head is known"
        return found

    def api(self, method: str, path: str, body: Any = None, *, status: int = 0) -> Any:
        """Ask the control API; with `status`, that is what it must answer."""
        with self.host.api() as client:
            answer = client.request(method, path, json=body)
        assert answer.status_code == status if status else answer.is_success, f"{path}: {answer.text}"
        return answer.json() if answer.content else None

    def make(self, name: str, *, env: dict[str, str] | None = None, **settings: Any) -> None:
        """Create an engine that is not wanted yet. `env` tells the stand-in what to do."""
        known = {
            "model": "org/model",
            "ray_worker_py_executable": str(Path(engine_python.__file__).resolve()),
            "device": "cpu",
            "vllm_serve_kwargs": SIZES,
            "vllm_serve_env_vars": {"VLLM_RAY_DP_PACK_STRATEGY": "strict", **(env or {})},
            "startup_timeout_seconds": 120,
            "drain_seconds": 0,
        }
        self.api("POST", "engines/", {"name": name, **(known | settings)}, status=201)

    def start(self, name: str) -> None:
        """Want it."""
        self.api("POST", f"engines/{name}/start/")

    def engine(self, name: str) -> dict[str, Any]:
        """Return the engine as the control API has it."""
        found: dict[str, Any] = self.api("GET", f"engines/{name}/")
        if found["base_url"]:
            given = urlsplit(found["base_url"])
            self.addresses.add((given.hostname or "", given.port or 0))
        return found

    def wait(self, name: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 150) -> dict[str, Any]:
        """Return the engine once it is as asked."""
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.update(self.engine(name))
            return reached(seen)

        until(look, seconds, lambda: f"{seen}\n{self.host.logs()}")
        return seen

    def wait_for(self, name: str, state: str, seconds: float = 150) -> dict[str, Any]:
        """Return the engine once it has the state."""
        return self.wait(name, lambda row: bool(row["state"] == state), seconds)

    def ready(self, name: str, **settings: Any) -> dict[str, Any]:
        """Return a new engine that is ready."""
        self.make(name, **settings)
        self.start(name)
        return self.wait_for(name, "ready")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what happened to it, oldest first."""
        rows: list[dict[str, Any]] = self.api("GET", f"engines/{name}/events/")["results"]
        return rows[::-1]

    def history(self, name: str) -> list[str]:
        """Return the states that it went through, oldest first."""
        return [row["new"] for row in self.events(name)]

    def health(self, name: str) -> str:
        """Return what the gateway thinks of the engine's endpoint."""
        return str(self.api("GET", f"endpoints/{name}/")["health"])

    def processes(self, name: str) -> dict[int, str]:
        """Return the command lines of the processes of its current attempt; Ray's own supervisor of the job is one."""
        mark = self.places.mark(self.engine(name)["submission_id"])
        found = processes.marked(command.MARK_VARIABLE, mark)
        return {view.pid: " ".join(_words(view.pid)) for view in found}

    def server(self, name: str) -> int:
        """Return the process that answers for the engine."""
        [pid] = [pid for pid, line in self.processes(name).items() if SERVER in line and not line.startswith("/bin/sh")]
        return pid

    def programs(self, name: str) -> list[psutil.Process]:
        """Return Roundhouse's own programs of that name, worker or beat; all of them if it is empty."""
        assert self.host.process
        found = psutil.Process(self.host.process.pid).children()
        # Celery may write a title over its command line.
        return [each for each in found if not name or re.search(rf"\b{name}\b", " ".join(_words(each.pid)))]

    def program(self, name: str) -> psutil.Process:
        """Return the one of that name."""
        [found] = self.programs(name)
        return found

    @contextlib.contextmanager
    def within(self, seconds: float, what: str) -> Iterator[None]:
        """Fail if the block takes longer."""
        begun = time.monotonic()
        yield
        taken = time.monotonic() - begun
        assert taken < seconds, f"{what} took {taken:.1f} s"

    def notices(self, name: str, fault: Callable[[], None], state: str = "failed") -> dict[str, Any]:
        """Let the fault happen; return the engine once it has the state, with its endpoint out of the pool, in time."""
        with self.within(NOTICED_SECONDS, f"noticing that {name} is {state}"):
            fault()
            found = self.wait_for(name, state, NOTICED_SECONDS)
            assert self.health(name) == "unhealthy"
        return found

    def jobs(self, *, active: bool) -> list[str]:
        """Return Ray's jobs: those that run, or all that it ever had."""
        rows = self._ray("/api/jobs/")
        return [row["submission_id"] for row in rows if not active or row["status"] in {"PENDING", "RUNNING"}]

    def launches(self, name: str) -> list[str]:
        """Return every job that Ray ever had of an engine."""
        engine, number, *_ = str(self.engine(name)["submission_id"]).split("-")
        return [job for job in self.jobs(active=False) if job.startswith(f"{engine}-{number}-")]

    def names(self) -> list[str]:
        """Return the engines that there are, without the keeper."""
        return [row["name"] for row in self.api("GET", "engines/")["results"] if row["name"] != KEEPER]

    def remove_all(self) -> None:
        """Delete every engine, those that run too, and wait until they are gone."""
        for name in self.names():
            self.api("DELETE", f"engines/{name}/?stop=true")
        until(lambda: not self.names(), 150, lambda: f"{self.api('GET', 'engines/')}\n{self.host.logs()}")

    def leftovers(self) -> list[str]:
        """Return what is left of engines on this machine and in Ray: nothing, once they are deleted."""
        ours = self.places.mark("")
        marks = processes.by_mark(command.MARK_VARIABLE)
        found = [f"{mark}: {view}" for mark, views in marks.items() if mark.startswith(ours) for view in views]
        found += [f"address {each}" for each in self.addresses if is_taken(*each)]
        found += [f"folder {folder}" for folder in self.places.temp.glob("*") if folder != self.places.ray_temp]
        with contextlib.suppress(OSError):  # a head that is gone has neither
            found += [f"job {job}" for job in self.jobs(active=True)]
            groups = self._ray("/api/v0/placement_groups?limit=10000")["data"]["result"]["result"]
            found += [f"placement group {row}" for row in groups if row["state"] != "REMOVED"]
        found += [f"orphan {row}" for row in self.api("GET", "cluster/orphans/")]
        return found

    def _ray(self, path: str) -> Any:
        url, token = self.dashboard or (self.head.url, self.head.token)
        request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def _words(pid: int) -> list[str]:
    """Return the command line; empty if the process has ended."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def kill(pid: int) -> Callable[[], None]:
    """Return what ends a process as `kill -9` does."""
    return lambda: os.kill(pid, signal.SIGKILL)


def ask(site: Site, model: str, **body: Any) -> httpx.Response:
    """Ask the gateway once."""
    headers = {"authorization": f"Bearer {site.host.facts['api_key']}"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
        return client.post(f"{site.host.url}/v1/responses", json={"model": model, "input": "hi", **body})
