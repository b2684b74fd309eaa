"""Runs Roundhouse as `make run` does, as real processes, and looks at what it leaves behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from launcher.places import Places
from launcher.processes import free_port, port_is_free

ROOT = Path(__file__).resolve().parents[2]
# Twenty are promised for Ctrl-C. A busy machine has some more; what waits for the web server in vain takes 35.
STOP_SECONDS = 30.0


def shared_memory() -> set[str]:
    return {file.name for file in Path("/dev/shm").iterdir() if file.name.startswith(("psm_", "sem.", "ray", "plasma"))}


def is_mapped(name: str) -> bool:
    """Return whether a living process uses this file of shared memory."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if name in maps.read_text(errors="replace"):
                return True
    return False


def left_in_shared_memory(before: set[str]) -> set[str]:
    """Return what has come since and belongs to nobody: what a living process has mapped is another program's.

    What others just make, or just remove, is not mapped for a moment.
    """
    left = _unmapped(shared_memory() - before)
    if left:
        time.sleep(2)
    return _unmapped(left & shared_memory()) if left else left


def _unmapped(names: set[str]) -> set[str]:
    return {name for name in names if not is_mapped(f"/dev/shm/{name}")}


def is_taken(host: str, port: int, seconds: float = 10) -> bool:
    """Return whether something keeps listening there. Other tests' engines have ports of the same range for moments."""
    deadline = time.monotonic() + seconds
    while not port_is_free(host, port):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.2)
    return False


@dataclass
class RoundhouseHost:
    """One `make run`. `engine` is what ENGINE is set to."""

    data_dir: Path
    port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    engine: str = "auto"
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    output: Path = field(init=False)
    shared_memory_before: set[str] = field(default_factory=shared_memory)

    def __post_init__(self) -> None:
        self.output = self.data_dir.with_name(f"{self.data_dir.name}-output.txt")

    def start(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ROUNDHOUSE_")}
        for name in ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE"):
            env.pop(name, None)
        env |= {"ROUNDHOUSE_DATA_DIR": str(self.data_dir), "PORT": str(self.port), "ENGINE": self.engine}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "quickstart"],
                cwd=ROOT,
                env=env | self.settings,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def printed(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait until the text was printed."""

        def seen() -> bool:
            assert self.process
            assert self.process.poll() is None or text in self.printed(), self.printed()
            return text in self.printed()

        until(seen, seconds, lambda: f"no {text!r} in:\n{self.printed()}\n{self.logs()}")

    def logs(self) -> str:
        """Return the end of every log, for a failed assertion."""
        files = [*(self.data_dir / "logs").glob("*.log"), *(self.data_dir / "engine-logs").rglob("*.log")]
        return "\n".join(f"--- {file}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.data_dir / "quickstart.json").read_text())
        return facts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def api(self) -> httpx.Client:
        """Return a client of the control API."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1/", headers={"Authorization": f"Bearer {self.facts['api_key']}"}, timeout=30
        )

    def engine_now(self, name: str) -> dict[str, Any]:
        with self.api() as api:
            body: dict[str, Any] = api.get(f"engines/{name}/").raise_for_status().json()
        return body

    def wait_for_state(self, name: str, state: str, seconds: float) -> dict[str, Any]:
        """Wait until the engine has the state; a new failure on the way fails at once."""
        before = self.engine_now(name)["generation"]
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.update(self.engine_now(name))
            if state != "failed" and seen["generation"] > before:
                assert seen["state"] != "failed", f"{seen}\n{self.logs()}"
            return bool(seen["state"] == state)

        until(reached, seconds, lambda: f"{seen}\n{self.logs()}")
        return seen

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal and wait for the end; return how long it took, in seconds."""
        assert self.process
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(120)
        return time.monotonic() - begun

    def kill_if_running(self) -> None:
        """Clean up after a failed test."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def leftovers(self) -> list[str]:
        """Return what is left on this machine: processes, the port, shared memory, temporary directories."""
        found = [f"process {view.pid}: {' '.join(view.cmdline())[:200]}" for view in self._processes()]
        if is_taken("127.0.0.1", self.port):
            found.append(f"port {self.port}")
        if self._places.temp.exists():
            found.append(f"directory {self._places.temp}")
        return found + [f"/dev/shm/{name}" for name in left_in_shared_memory(self.shared_memory_before)]

    @property
    def _places(self) -> Places:
        root = self.data_dir.resolve()
        return Places(root=root, logs=root / "engine-logs")

    def _processes(self) -> list[psutil.Process]:
        """Return what names the data directory or carries its mark, as all of Ray and of vLLM must."""
        found = []
        identity = self._places.identity
        for process in psutil.process_iter():
            try:
                env = process.environ()
                mine = (
                    env.get("ROUNDHOUSE_DATA_DIR") == str(self.data_dir)
                    or str(self.data_dir) in " ".join(process.cmdline())
                    or env.get("ROUNDHOUSE_RAY") == identity
                    or env.get("ROUNDHOUSE_ENGINE", "").startswith(f"{identity}/")
                )
            except psutil.Error:
                continue
            if mine and process.pid != os.getpid():
                found.append(process)
        return found


def until(condition: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Poll until the condition holds; fail with what `otherwise` says."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)


def pasted(printed: str, start: str) -> str:
    """Return the block of the printed text that begins with `start` and ends at an empty line."""
    found = re.search(rf"^({re.escape(start)}.*?)\n\s*\n", printed, flags=re.MULTILINE | re.DOTALL)
    assert found, printed
    return found.group(1)
