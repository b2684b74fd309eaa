"""What only a real Ray head on this machine can show: its start, its adoption, its death, its end."""

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launcher import processes
from launcher.cluster import ClusterStartError, ClusterStartingError, ClusterUnreachableError, JobSpec, JobState
from launcher.places import Places
from launcher.ray_cluster import HEAD_GONE, RayCluster
from launcher.ray_head import MARK_VARIABLE, LocalHead

SLEEP = "import time; time.sleep(600)"


def cluster_in(folder: Path) -> RayCluster:
    return RayCluster("", LocalHead(folder, places_of(folder)))


def places_of(folder: Path) -> Places:
    return Places(root=folder, logs=folder / "logs")


def ensure(cluster: RayCluster) -> None:
    for _ in range(15):
        try:
            return cluster.ensure()
        except ClusterStartingError:
            continue
    raise AssertionError("The head does not come up.")


def wait_until_gone(cluster: RayCluster) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(ClusterUnreachableError):
            if cluster.view("engine-1-1").state == JobState.GONE:
                return
        time.sleep(0.1)
    raise AssertionError("The cluster is still there.")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    cluster_in(tmp_path).shutdown()


def marked(folder: Path) -> list[processes.ProcessView]:
    return processes.marked(MARK_VARIABLE, places_of(folder).identity)


@contextlib.contextmanager
def command_lines_watched(word: str) -> Iterator[list[str]]:
    """Yield a list of the command lines in which the word shows up, as any user of the machine could see them."""
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if word in (line := file.read_text(errors="replace")):
                        seen.append(line)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_a_secret_is_in_nobodys_command_line_and_in_no_log(folder: Path) -> None:
    cluster, where = cluster_in(folder), places_of(folder)
    ensure(cluster)
    secret, plain = "s3cret-of-the-engine", "seen-by-everyone"
    job = JobSpec("engine-1-1", [sys.executable, "-c", "import time; time.sleep(1)"], {"X": plain}, {"Y": secret})
    with command_lines_watched(secret) as seen, command_lines_watched(plain) as watched:
        cluster.submit(job)
        deadline = time.monotonic() + 120
        while cluster.view("engine-1-1").state.active:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert cluster.view("engine-1-1").state == JobState.SUCCEEDED
    assert watched  # Ray does show a job's plain variables, so the watch sees what there is to see
    assert seen == []
    assert [
        file for file in where.temp.rglob("*") if file.is_file() and secret in file.read_text(errors="replace")
    ] == []
    where.remove_temp("engine-1-1")


def test_one_head_from_its_start_to_its_end(folder: Path) -> None:
    """Two race to start it, a third adopts it, it is killed, the next one clears up, and in the end nothing is left."""
    racers = [threading.Thread(target=ensure, args=(cluster_in(folder),)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    heads = [view for view in marked(folder) if "start" in psutil.Process(view.pid).cmdline()]
    assert len(heads) == 1

    head = LocalHead(folder, places_of(folder)).known()
    assert head is not None
    assert head.alive
    for name in ("head.json", "token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(places_of(folder).temp.stat().st_mode) == 0o700

    adopted = cluster_in(folder)
    ensure(adopted)
    assert LocalHead(folder, places_of(folder)).known() == head
    job = JobSpec("engine-1-1", [sys.executable, "-c", SLEEP], processes.environment("ROUNDHOUSE_ENGINE", str(folder)))
    assert adopted.submit(job) is True

    # A stranger without the token is refused.
    code = f"from ray.job_submission import JobSubmissionClient as C; C({head.url!r}).list_jobs()"
    stranger = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert stranger.returncode != 0
    assert "Authentication" in stranger.stderr

    # Ray's first process is killed: its cluster goes with it, and the job is gone.
    psutil.Process(head.pid).kill()
    wait_until_gone(adopted)
    assert adopted.view("engine-1-1").message == HEAD_GONE
    assert adopted.nodes() == []
    with pytest.raises(ClusterUnreachableError):
        adopted.submit(job)

    # The next head ends what the last one left, and begins anew.
    ensure(adopted)
    assert processes.marked("ROUNDHOUSE_ENGINE", str(folder)) == []
    assert adopted.view("engine-1-1").state == JobState.GONE
    assert adopted.submit(job) is True

    begun = time.monotonic()
    adopted.shutdown()
    assert time.monotonic() - begun < 20
    assert marked(folder) == []
    assert processes.marked("ROUNDHOUSE_ENGINE", str(folder)) == []
    assert not places_of(folder).temp.exists()
    assert not (folder / "head.json").exists()


def written_head(folder: Path, pid: int, port: int) -> None:
    created = processes.born(pid) or 0.0
    record = {"pid": pid, "created": created, "url": f"http://127.0.0.1:{port}", "token": "t"}
    (folder / "head.json").write_text(json.dumps(record))


def test_a_silent_head_that_lives_is_unreachable_and_a_dead_one_is_gone(folder: Path) -> None:
    port = processes.free_port("127.0.0.1")
    written_head(folder, os.getpid(), port)
    cluster = cluster_in(folder)
    with pytest.raises(ClusterUnreachableError, match="does not answer"):
        cluster.view("engine-1-1")
    with pytest.raises(ClusterUnreachableError):
        cluster.stop("engine-1-1")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    written_head(folder, ended.pid, port)
    assert cluster.view("engine-1-1").state == JobState.GONE
    (folder / "head.json").unlink()


def test_what_is_not_ray_is_unreachable(folder: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=_answer_once, args=(listener,)).start()
        cluster = RayCluster(f"http://127.0.0.1:{listener.getsockname()[1]}", LocalHead(folder, places_of(folder)))
        assert not cluster.local
        with pytest.raises(ClusterUnreachableError, match="does not answer as a Ray dashboard"):
            cluster.ensure()


def _answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_a_joined_cluster_is_never_ended(folder: Path) -> None:
    cluster = RayCluster("http://127.0.0.1:9", LocalHead(folder, places_of(folder)))
    cluster.shutdown()
    with pytest.raises(ClusterUnreachableError):
        cluster.view("engine-1-1")


def test_a_head_without_a_place_says_so(folder: Path) -> None:
    places_of(folder).temp.write_text("in the way")
    with pytest.raises(ClusterStartError, match="no place"):
        cluster_in(folder).ensure()
    places_of(folder).temp.unlink()


def test_a_damaged_record_counts_as_none(folder: Path) -> None:
    (folder / "head.json").write_text("{")
    assert cluster_in(folder).view("engine-1-1").state == JobState.GONE
    (folder / "head.json").unlink()
