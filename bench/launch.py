"""`make bench-launch`: what Roundhouse adds to the launch of a vLLM, and how long a stop takes.

The same vLLM, with the same arguments and variables, is started by hand and through the control API in turn, each until
it has generated a token, and stopped until no process of it is left. Machines drift, so what counts is the difference
to the launch by hand of the same round. A launch of its own line is the first one of a new data directory: it starts
Ray's head and asks vLLM for its arguments, once.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from launcher import processes
from launcher.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
LAUNCH_BUDGET, STOP_BUDGET = 3.0, 10.0  # seconds
LAUNCH_SECONDS = 600.0
POLL_SECONDS = 0.05
MARK, KEY = "ROUNDHOUSE_BENCH", "bench"
SIZES = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}
KWARGS = {**SIZES, "max_model_len": 512, "enforce_eager": True}
ENV = {"VLLM_RAY_DP_PACK_STRATEGY": "strict", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Row:
    """One launch and its stop. `added` is what it took longer than the launch by hand of its round. Seconds."""

    how: str
    launch: float
    added: float | None
    stop: float


def wait(reached: Callable[[], bool], what: str) -> float:
    """Return how long it took. Seconds."""
    begun = time.monotonic()
    while not reached():
        if time.monotonic() - begun > LAUNCH_SECONDS:
            raise RuntimeError(f"{what} did not happen.")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begun


def by_hand(folder: Path, model: Path, python: str) -> Row:
    """Start vLLM as a person does, and stop it."""
    port, mark = free_port("127.0.0.1"), str(folder)
    argv = [python, "-m", "vllm.entrypoints.openai.api_server", f"--model={model}", "--served-model-name=hand"]
    argv += ["--host=127.0.0.1", f"--port={port}", "--max-model-len=512", "--enforce-eager"]
    argv += ["--distributed-executor-backend=mp"]
    env = {**os.environ, **ENV, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1"}
    env["VLLM_API_KEY"] = KEY
    env |= processes.environment(MARK, mark)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"vLLM ended: {(folder / 'hand.log').read_text()[-2000:]}")
        with contextlib.suppress(httpx.TransportError):
            asked = {"model": "hand", "prompt": "a", "max_tokens": 1}
            headers = {"Authorization": f"Bearer {KEY}"}
            return httpx.post(
                f"{url}/v1/completions", json=asked, headers=headers, timeout=60, trust_env=False
            ).is_success
        return False

    with (folder / "hand.log").open("w") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        launch = wait(answers, "The launch by hand")
        process.send_signal(signal.SIGTERM)
        stop = wait(lambda: process.poll() is not None and not processes.marked(MARK, mark), "The end of it")
    finally:
        processes.end(MARK, mark)
        process.wait()
    return Row("by hand", launch, None, stop)


class Roundhouse:
    """One that serves, asked through its control API."""

    def __init__(self, data_dir: Path, port: int) -> None:
        facts = json.loads((data_dir / "quickstart.json").read_text())
        headers = {"Authorization": f"Bearer {facts['api_key']}"}
        base_url = f"http://127.0.0.1:{port}/api/v1/"
        self._api = httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return what it answers."""
        return self._api.request(method, path, json=body).raise_for_status().json()

    def create(self, model: Path, python: str) -> None:
        """Make the engine."""
        engine = {"name": "bench", "model": str(model), "vllm_serve_kwargs": KWARGS, "vllm_serve_env_vars": ENV}
        engine["ray_worker_py_executable"] = python
        self.ask("POST", "engines/", {**engine, "device": "cpu", "drain_seconds": 0, "restart_policy": "never"})

    def launch(self, how: str, hand: Row) -> Row:
        """Start the engine and stop it."""
        self.ask("POST", "engines/bench/start/")
        launch = wait(lambda: self._is("ready"), "The launch")
        self.ask("POST", "engines/bench/stop/")
        stop = wait(lambda: self._is("stopped"), "The stop")
        return Row(how, launch, launch - hand.launch, stop)

    def _is(self, state: str) -> bool:
        engine = self.ask("GET", "engines/bench/")
        if engine["state"] == "failed":
            raise RuntimeError(f"The launch failed: {engine['state_reason']}")
        return bool(engine["state"] == state)


@contextlib.contextmanager
def roundhouse(folder: Path) -> Iterator[Roundhouse]:
    """Run Roundhouse as `make run ENGINE=none` does."""
    data_dir, port = folder / "var", free_port("127.0.0.1")
    env = {name: value for name, value in os.environ.items() if not name.startswith("ROUNDHOUSE_")}
    env |= {"ROUNDHOUSE_DATA_DIR": str(data_dir), "PORT": str(port), "ENGINE": "none"}
    output = folder / "roundhouse.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "quickstart"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
    try:
        wait(lambda: process.poll() is not None or "ready; Ctrl-C" in output.read_text(), "The start of Roundhouse")
        if process.poll() is not None:
            raise RuntimeError(f"Roundhouse ended: {output.read_text()[-2000:]}")
        yield Roundhouse(data_dir, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def measure(rounds: int, python: str) -> Iterator[Row]:
    """Yield every launch as it ends."""
    with tempfile.TemporaryDirectory(prefix="rhb-") as name:
        folder = Path(name)
        model = folder / "model"
        subprocess.run([sys.executable, "-m", "controlplane.tiny_model", str(model)], check=True, capture_output=True)
        by_hand(folder, model, python)  # what is read from the disk for the first time counts for nobody
        with roundhouse(folder) as found:
            found.create(model, python)
            for number in range(rounds + 1):
                hand = by_hand(folder, model, python)
                yield hand
                yield found.launch("Roundhouse" if number else "Roundhouse, its first", hand)


def line(*cells: str) -> str:
    """Return a line of the table."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, (24, 9, 9, 9), strict=True)).rstrip()


def main() -> None:
    """Measure, print the table and whether it keeps within the budget, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="launches of each kind, after the first")
    parser.add_argument("--python", default=sys.executable, help="what has vLLM, or stands for it and starts at once")
    parser.add_argument("--json", type=Path, help="write the rows there")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with it
    print(line("seconds", "launch", "added", "stop"), flush=True)
    rows = []
    try:
        for row in measure(asked.rounds, str(Path(asked.python).absolute())):
            rows.append(row)
            added = "" if row.added is None else f"{row.added:+.1f}"
            print(line(row.how, f"{row.launch:.1f}", added, f"{row.stop:.1f}"), flush=True)
    except RuntimeError as error:
        sys.exit(str(error))
    ours = [row for row in rows if row.how == "Roundhouse"]
    if ours:
        added = statistics.median(row.added or 0.0 for row in ours)
        stop = max(row.stop for row in ours)
        hand = statistics.median(row.launch for row in rows if row.how == "by hand")
        print(
            f"A launch takes {added:.1f} s longer than by hand (budget {LAUNCH_BUDGET:.0f}): {1 + added / hand:.2f} x."
        )
        print(f"The longest stop took {stop:.1f} s (budget {STOP_BUDGET:.0f}).")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
