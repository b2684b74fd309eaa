import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import processes

VARIABLE = "ROUNDHOUSE_ENGINE"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
SLEEP = "import sys, time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def mark() -> Iterator[str]:
    value = uuid.uuid4().hex
    yield value
    processes.end(VARIABLE, value)


def start(code: str, mark: str) -> subprocess.Popen[str]:
    """Start a process that carries the mark, and wait until it says something."""
    env = {**os.environ, **processes.environment(VARIABLE, mark)}
    started = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    return started


def reap(started: subprocess.Popen[str]) -> int:
    with started:
        return started.wait(timeout=60)


def test_a_marked_process_is_found_and_no_other(mark: str) -> None:
    started = start(SLEEP, mark)
    (view,) = processes.marked(VARIABLE, mark)
    assert view.pid == started.pid
    assert str(view).startswith(f"{started.pid} (")
    assert processes.marked(VARIABLE, mark[:-1]) == []
    assert processes.alive(view.pid, view.created)
    assert not processes.alive(view.pid, view.created - 100)
    assert processes.end(VARIABLE, mark) == []
    assert reap(started) == -signal.SIGTERM


def test_a_process_that_ignores_a_polite_end_is_killed(mark: str) -> None:
    started = start(IGNORE_TERM + SLEEP, mark)
    assert processes.end(VARIABLE, mark) == []
    assert reap(started) == -signal.SIGKILL


def test_what_outlives_its_parents_is_found_by_the_mark(mark: str) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print('up', flush=True)"
    )
    parent = start(code, mark)
    reap(parent)
    assert [view.pid == parent.pid for view in processes.marked(VARIABLE, mark)] == [False]
    assert processes.end(VARIABLE, mark) == []
    assert processes.marked(VARIABLE, mark) == []


def test_the_dead_do_not_count(mark: str) -> None:
    started = start("print('up', flush=True)", mark)
    deadline = time.monotonic() + 60
    while processes.marked(VARIABLE, mark) or processes.alive(started.pid, processes.born(started.pid) or 0):
        assert time.monotonic() < deadline
    assert processes.born(started.pid) is not None  # a zombie until it is reaped
    reap(started)
    assert processes.born(started.pid) is None
    assert processes.end(VARIABLE, mark) == []


def test_a_number_that_passed_to_another_process_is_left_alone(mark: str) -> None:
    started = start(SLEEP, mark)
    born = processes.born(started.pid)
    assert born is not None
    processes.terminate(started.pid, born - 100)
    time.sleep(0.1)
    assert started.poll() is None
    processes.terminate(started.pid, born)
    assert reap(started) == -signal.SIGTERM


SHARED = (
    "from multiprocessing import shared_memory, resource_tracker\n"
    "import time\n"
    "block = shared_memory.SharedMemory(create=True, size=4096)\n"
    "resource_tracker.unregister(block._name, 'shared_memory')\n"  # as if the tracker had been killed, too
    "print('up', flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has mapped")
def test_what_a_killed_process_left_in_shared_memory_is_removed(mark: str) -> None:
    started = start(SHARED, mark)
    names = processes.shared_memory(VARIABLE, mark)
    (name,) = names
    assert name.startswith("/dev/shm/psm_")
    assert processes.remove_shared_memory(names) == []  # still in use
    started.kill()
    reap(started)
    assert Path(name).exists()
    assert processes.remove_shared_memory([*names, "/dev/shm/psm_not_there"]) == [name]
    assert not Path(name).exists()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has mapped")
def test_a_model_in_shared_memory_is_nobodys_litter(mark: str) -> None:
    model = Path("/dev/shm") / f"rht-{mark}.safetensors"
    model.write_bytes(b"x" * 4096)
    try:
        code = f"import mmap\nf = open({str(model)!r}, 'r+b')\nm = mmap.mmap(f.fileno(), 0)\n" + SLEEP
        started = start(code, mark)
        assert processes.shared_memory(VARIABLE, mark) == set()
        processes.end(VARIABLE, mark)
        reap(started)
    finally:
        model.unlink()


def test_a_port_is_free_when_nothing_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not processes.port_is_free("127.0.0.1", port)
    assert processes.port_is_free("127.0.0.1", port)


def test_an_address_of_another_machine_is_asked() -> None:
    assert processes.port_is_free("2001:db8::1", 9)  # an address for documentation: nobody has it


def test_a_free_port_is_clear_of_rays_and_of_those_taken() -> None:
    taken = set(range(processes.LOWEST_PORT, processes.HIGHEST_PORT - 50))
    for _ in range(20):
        port = processes.free_port("127.0.0.1", taken)
        assert processes.HIGHEST_PORT - 50 <= port <= processes.HIGHEST_PORT
    with pytest.raises(OSError, match="no free port"):
        processes.free_port("127.0.0.1", range(processes.LOWEST_PORT, processes.HIGHEST_PORT + 1))
