"""The door to the process table of this machine: what carries a mark, and its end.

Every process that Roundhouse causes (the local Ray head and all it starts, an engine and all it forks) inherits a mark:
a variable in its environment that names the data directory. So what is left of an engine can be found after its parents
died, and nothing else can be taken for it. `SPT_NOENV=1` goes with every mark: without it, programs that change their
title overwrite the environment that /proc shows.
"""

import contextlib
import errno
import random
import re
import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

TERM_SECONDS = 3.0
KILL_SECONDS = 2.0
POLL_SECONDS = 0.05

# Above Ray's worker ports (10002-19999), below the ports that Linux gives to outgoing connections (from 32768).
LOWEST_PORT, HIGHEST_PORT = 20000, 32767

# What Python's multiprocessing, NCCL and torch make there, and nothing else: people keep models in shared memory, too.
_SHARED = re.compile(
    r"\s(/dev/shm/(?:psm_[0-9a-f]+|sem\.mp-\w+|nccl-\w+|torch_[0-9_]+))$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class ProcessView:
    """A process, known for good by its number and its time of birth."""

    pid: int
    created: float
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"


def environment(variable: str, value: str) -> dict[str, str]:
    """Return what a process needs in its environment to carry a mark."""
    return {variable: value, "SPT_NOENV": "1"}


def marked(variable: str, value: str) -> list[ProcessView]:
    """Return the processes of this machine that carry the mark. Dead ones that nobody has reaped do not count."""
    return [_view(process) for process in _marked(variable, value)]


def by_mark(variable: str) -> dict[str, list[ProcessView]]:
    """Return the processes of this machine that carry any mark of that name, by its value."""
    found: dict[str, list[ProcessView]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            value = process.environ().get(variable)
            if value and process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(value, []).append(_view(process))
    return found


def alive(pid: int, created: float) -> bool:
    """Return whether the process born then still lives."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def born(pid: int) -> float | None:
    """Return when a living process was born, in seconds since 1970; None if there is none of that number."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return None


def terminate(pid: int, created: float) -> None:
    """Ask the process born then to end, if it lives."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - created) < 1:
            process.terminate()


def wait_until_gone(variable: str, value: str, *, seconds: float) -> list[ProcessView]:
    """Return what still carries the mark: nothing, or what is left after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := marked(variable, value)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def end(variable: str, value: str) -> list[ProcessView]:
    """End every process that carries the mark, politely and then not; return what is left, which should be nothing.

    Python's resource trackers are killed last: they ignore SIGTERM, and remove what the others left in shared memory.
    """
    _send(_marked(variable, value), signal.SIGTERM)
    if not wait_until_gone(variable, value, seconds=TERM_SECONDS):
        return []
    _send([each for each in _marked(variable, value) if not _is_tracker(each)], signal.SIGKILL)
    if not wait_until_gone(variable, value, seconds=KILL_SECONDS):
        return []
    _send(_marked(variable, value), signal.SIGKILL)
    return wait_until_gone(variable, value, seconds=KILL_SECONDS)


def shared_memory(variable: str, value: str) -> set[str]:
    """Return the files that processes with the mark made and have mapped in shared memory (Linux; elsewhere none)."""
    return {name for process in _marked(variable, value) for name in _mapped(process)}


def remove_shared_memory(names: Iterable[str]) -> list[str]:
    """Remove those files that exist and that no process has mapped any more; return them.

    Called with what an engine's own processes had mapped, once they are gone: what nobody uses then was theirs alone.
    """
    there = {name for name in names if Path(name).is_file()}
    if not there:
        return []
    for process in psutil.process_iter():
        there -= _mapped(process)
    removed = []
    for name in sorted(there):
        with contextlib.suppress(OSError):
            Path(name).unlink()
            removed.append(name)
    return removed


def port_is_free(host: str, port: int) -> bool:
    """Return whether nothing listens there. An address of another machine is asked, one of this machine is tried."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                return False
        else:
            return True
    try:
        with socket.create_connection((host, port), timeout=1):
            return False
    except OSError:
        return True


def free_port(host: str, taken: Iterable[int] = ()) -> int:
    """Return a port where nothing listens now, clear of Ray's and of outgoing connections.

    Raises:
        OSError: if there is none.
    """
    choices = sorted(set(range(LOWEST_PORT, HIGHEST_PORT + 1)) - set(taken))
    random.shuffle(choices)
    for port in choices[:200]:
        if port_is_free(host, port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port from {LOWEST_PORT} to {HIGHEST_PORT} on {host}")


def _marked(variable: str, value: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        # Someone else's process cannot be read; one that ended meanwhile is no concern.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _view(process: psutil.Process) -> ProcessView:
    name = ""
    with contextlib.suppress(psutil.Error):
        name = process.name()
    return ProcessView(process.pid, process.create_time(), name or "?")


def _send(targets: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in targets:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)  # psutil refuses if the number has passed to another process


def _is_tracker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    return False


def _mapped(process: psutil.Process) -> set[str]:
    """Return what the process has mapped of shared memory and what still has a name there."""
    try:
        maps = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
    except OSError:
        return set()
    return set(_SHARED.findall(maps))
