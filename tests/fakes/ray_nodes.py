"""A real Ray cluster of several nodes on this machine: each a raylet with an address of the loopback network.

The GPUs are made up, which is all the same to Ray: it counts them and gives them away.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from launcher import processes

VARIABLE = "ROUNDHOUSE_TEST_NODES"
START_SECONDS = 150.0
# As docs/how-to/gpu-cluster.md has them: without these Ray takes 18 s to give up a node that was killed.
HEALTH = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


class RayNodes:
    """Nodes by address, the head's first. `url` is the dashboard's; `settings` are what tells others the token."""

    def __init__(self, folder: Path, gpus: Mapping[str, int], token: str = "") -> None:
        """`folder` is short: Ray puts UNIX sockets below it. Without a token everybody may ask."""
        self._folder = folder
        self._gpus = gpus
        self.token = token
        self.settings: dict[str, str] = {}
        if token:
            (folder / "token").write_text(token)
            self.settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
        head, *_ = gpus
        ports: list[int] = []
        while len(ports) < 3 + len(gpus):
            ports.append(processes.free_port("127.0.0.1", ports))
        self.url = f"http://127.0.0.1:{ports[0]}"
        self._gcs = f"{head}:{ports[1]}"
        self._client_port, self._agents = ports[2], dict(zip(gpus, ports[3:], strict=True))
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Return once every node is there. They start one after the other: two at once take each other's files."""
        head, *others = self._gpus
        port = self._gcs.partition(":")[2]
        self._run(
            head,
            *("--head", f"--port={port}", f"--ray-client-server-port={self._client_port}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={self.url.rpartition(':')[2]}"),
            f"--temp-dir={self._folder / 'ray'}",
        )
        self._wait_for(head)
        for address in others:
            self._run(address, f"--address={self._gcs}")
            self._wait_for(address)

    def kill(self, address: str) -> None:
        """End one node as a power cut does."""
        for view in processes.marked(VARIABLE, self._mark(address)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(view.pid, 9)
        self._started.pop(address).wait()

    def end(self) -> list[str]:
        """End all nodes and whatever runs on them; return what is left, which should be nothing."""
        left = []
        for address in reversed([*self._gpus]):
            left += [str(view) for view in processes.end(VARIABLE, self._mark(address))]
        for process in self._started.values():
            process.wait()
        return left

    def _mark(self, address: str) -> str:
        return f"{self._folder}/{address}"

    def _run(self, address: str, *arguments: str) -> None:
        argv = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *(f"--node-ip-address={address}", f"--num-gpus={self._gpus[address]}", "--num-cpus=8"),
            *("--object-store-memory=100000000", "--include-log-monitor=false", "--min-worker-port=0"),
            *("--max-worker-port=0", f"--dashboard-agent-listen-port={self._agents[address]}", *arguments),
        ]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "ROUNDHOUSE_"))}
        env |= {
            "TMPDIR": str(self._folder),
            **HEALTH,
            **self.settings,
            **processes.environment(VARIABLE, self._mark(address)),
        }
        with (self._folder / f"{address}.log").open("wb") as log:
            self._started[address] = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_for(self, address: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while address not in self._alive():
            log = (self._folder / f"{address}.log").read_text(errors="replace")
            assert time.monotonic() < deadline, log
            assert self._started[address].poll() is None, log
            time.sleep(0.1)

    def _alive(self) -> set[str]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(f"{self.url}/api/v0/nodes", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                rows = json.load(answer)["data"]["result"]["result"]
        except OSError:
            return set()
        return {row["node_ip"] for row in rows if row["state"] == "ALIVE"}


@contextlib.contextmanager
def ray_nodes(gpus: Mapping[str, int], token: str = "") -> Iterator[RayNodes]:
    """Yield a running cluster; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rhn-"))
    nodes = RayNodes(folder, gpus, token)
    try:
        nodes.start()
        yield nodes
    finally:
        left = nodes.end()
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []
