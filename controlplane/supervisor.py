"""Starts Roundhouse's programs, keeps them running, and ends every one of them.

Each program runs in a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which then ends
them in order. The kernel sends them SIGTERM should the supervisor itself be killed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

PR_SET_PDEATHSIG = 1
RESTART_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds, growing while a program keeps dying
# So long the server has, after its requests had their time, to write what is left and to end.
LAST_WORDS_SECONDS = 10.0
STEADY_SECONDS = 60.0  # a program that ran this long has recovered


@dataclass(frozen=True)
class Program:
    """One program to keep running. `grace` is how long it may take to end after SIGTERM, in seconds."""

    name: str
    argv: list[str]
    grace: float = 5.0


def programs(*, host: str, port: int, workers: int, data_dir: Path, shutdown_seconds: float = 25) -> list[Program]:
    """Return the three programs of a Roundhouse host: the ASGI server, the Celery worker and beat. The server may take
    `shutdown_seconds` for what it has begun.
    """
    web = (
        "uvicorn controlplane.asgi:application --loop uvloop --http httptools --lifespan on --no-access-log"
        " --no-server-header --log-level warning --timeout-keep-alive 75 --timeout-graceful-shutdown 4"
        " --ws websockets-sansio --ws-max-size 67108864"
    )
    # Threads: tasks wait for the network, and one process holds Ray's client once.
    worker = (
        "celery --app controlplane --quiet worker --pool threads --concurrency 8 --loglevel INFO"
        " --without-gossip --without-mingle --without-heartbeat"
    )
    beat = "celery --app controlplane --quiet beat --loglevel WARNING"
    return [
        replace(
            _module("web", web, "--host", host, "--port", str(port), "--workers", str(workers)),
            grace=shutdown_seconds + LAST_WORDS_SECONDS,
        ),
        _module("worker", worker),
        _module("beat", beat, "--schedule", str(data_dir / "beat-schedule"), "--pidfile", ""),
    ]


def _module(name: str, line: str, *more: str) -> Program:
    return Program(name, [sys.executable, "-m", *line.split(), *more])


class Child:
    """A running program, and when to start it again if it dies."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.deaths = 0
        self.due_at = 0.0

    def start(self, *, env: Mapping[str, str], log: Path | None, now: float) -> None:
        """Start the program, its output to `log` or to where the supervisor's goes."""
        output = log.open("ab") if log else None
        try:
            self.process = subprocess.Popen(  # noqa: S603  (our own argv)
                self.program.argv,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (nothing here has started a thread)
            )
        finally:
            if output:
                output.close()
        self.started_at = now

    def ended(self) -> bool:
        """Return whether the program is not running."""
        return self.process is None or self.process.poll() is not None


class Supervisor:
    """Keeps a list of programs running until it is told to stop."""

    def __init__(
        self, wanted: list[Program], *, env: Mapping[str, str], log_dir: Path | None, say: Callable[[str], None]
    ) -> None:
        self.children = [Child(program) for program in wanted]
        self.env = env
        self.log_dir = log_dir
        self.say = say

    def start(self) -> None:
        """Start every program; the last run's logs are kept under `.1`."""
        for child in self.children:
            log = self._log_of(child)
            if log and log.exists():
                log.replace(log.with_suffix(".log.1"))
            self._start(child)

    def tend(self) -> None:
        """Start again, after a growing pause, what has died. Call it often."""
        now = time.monotonic()
        for child in self.children:
            if not child.ended():
                continue
            if not child.due_at:
                code = child.process.returncode if child.process else None
                if child.process is not None:
                    _signal_group(child.process.pid, signal.SIGKILL)  # children of the dead would keep its port
                child.deaths = 0 if now - child.started_at > STEADY_SECONDS else child.deaths
                pause = RESTART_PAUSES[min(child.deaths, len(RESTART_PAUSES) - 1)]
                child.deaths += 1
                child.due_at = now + pause
                ended = f"{child.program.name} ended ({_describe(code)})"
                self.say(f"{ended}; starting it again in {pause:.0f} s{self._see(child)}")
            elif now >= child.due_at:
                self._start(child)

    def stop(self) -> None:
        """End every program and everything it started: SIGTERM, its grace, then SIGKILL to the whole session."""
        running = [child for child in self.children if not child.ended()]
        for child in running:
            _signal(child, signal.SIGTERM)
        begun = time.monotonic()
        for child in running:
            try:
                assert child.process  # noqa: S101  (it is running)
                child.process.wait(max(0.0, begun + child.program.grace - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"{child.program.name} did not end within {child.program.grace:.0f} s and is killed")
        for child in self.children:
            if child.process is not None:
                _signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()

    def _start(self, child: Child) -> None:
        child.due_at = 0.0
        child.start(env=self.env, log=self._log_of(child), now=time.monotonic())

    def _log_of(self, child: Child) -> Path | None:
        return self.log_dir / f"{child.program.name}.log" if self.log_dir else None

    def _see(self, child: Child) -> str:
        log = self._log_of(child)
        return f"; see {log}" if log else ""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _describe(code: int | None) -> str:
    if code is None:
        return "it never ran"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
