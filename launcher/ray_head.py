"""The local Ray head: a process of ours on this machine, from its start to the proof of its end.

It runs `ray start --head --block` in a session of its own and writes down what it started, so that any process of this
host can adopt it. It imports nothing of Ray. What shaped it, measured with Ray 2.60:

- SIGTERM to that one process ends the whole cluster within four seconds. `ray stop` is never used: it would end every
  Ray of the machine.
- Ray's own ports are open on all interfaces, whatever the node address says, so a token keeps strangers out.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher import log_part, processes
from launcher.cluster import ClusterStartError, ClusterStartingError, JobSpec, LogPart
from launcher.places import PlaceError, Places

MARK_VARIABLE = "ROUNDHOUSE_RAY"
LOCK_SECONDS = 10.0
START_SECONDS = 10.0
START_ATTEMPTS = 3
DOWN_SECONDS = 8.0
POLL_SECONDS = 0.1
OBJECT_STORE_BYTES = 100_000_000  # vLLM puts no tensors there; the default is a third of the memory

# What the control plane knows and an engine must not: its secrets and addresses, and another Ray's settings.
_PRIVATE = ("ROUNDHOUSE_", "DJANGO_", "CELERY_", "DATABASE_URL", "RAY_")


@dataclass(frozen=True)
class Head:
    """A head, as head.json has it. `created` is its time of birth, in seconds since 1970."""

    pid: int
    created: float
    url: str
    token: str

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return processes.alive(self.pid, self.created)


class LocalHead:
    """The one head of a data directory. `folder` keeps what is known of it."""

    def __init__(self, folder: Path, where: Places) -> None:
        """`where` names its mark and its temporary folder."""
        self._folder = folder
        self._where = where
        self._record = folder / "head.json"
        self._log = folder / "head.log"

    def known(self) -> Head | None:
        """Return the head that was started and not ended by us; it may have died since."""
        try:
            return Head(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def job_log(self, submission_id: str) -> str:
        """Return the end of a job's log. The file is there even when the head is gone, until the next one starts.

        Ray lets it grow for as long as the job runs: what nobody reads any more is given back to the disk.
        """
        log_part.give_back(self._job_log(submission_id))
        return _last_bytes(self._job_log(submission_id))

    def job_log_after(self, submission_id: str, place: int, *, last: bool = False) -> LogPart | None:
        """Return the part of a job's log after a place; None if there is no such log."""
        return log_part.read(self._job_log(submission_id), place, last=last)

    def keep_secrets(self, job: JobSpec) -> Path:
        """Return a shell script that puts the job's secrets into its environment; its owner alone can read it.

        Raises:
            PlaceError, OSError: if it cannot be written.
        """
        script = self._where.make_temp(job.submission_id) / "secrets.sh"
        _write_private(script, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in job.secrets.items()))
        return script

    def ensure(self, answers: Callable[[Head], bool]) -> None:
        """Return once the head answers; start one if none does. Processes that race start one.

        Raises:
            ClusterStartingError: if it does not answer yet.
            ClusterStartError: if it does not start.
        """
        deadline = time.monotonic() + START_SECONDS
        with self._lock():
            for _ in range(START_ATTEMPTS):
                head = self.known()
                if head is not None and answers(head):
                    return
                if head is None or not head.alive:
                    head = self._start()
                while head.alive:
                    if answers(head):
                        return
                    if time.monotonic() > deadline:
                        raise ClusterStartingError("The local Ray head is starting.")
                    time.sleep(POLL_SECONDS)
                # It died: perhaps another program was faster to one of its ports.
            raise ClusterStartError(f"The local Ray head does not start: {self._last_words()}")

    def shutdown(self) -> None:
        """End the head and everything in it; return when that is done.

        Raises:
            ClusterStartError: if something of it does not end.
        """
        if not self._record.exists() and not self._where.ray_temp.exists():
            return
        with self._lock():
            head = self.known()
            if head is not None and head.alive:
                processes.terminate(head.pid, head.created)
                processes.wait_until_gone(MARK_VARIABLE, self._where.identity, seconds=DOWN_SECONDS)
            self._clear()

    def _job_log(self, submission_id: str) -> Path:
        return self._where.ray_temp / "session_latest" / "logs" / f"job-driver-{submission_id}.log"

    def _start(self) -> Head:
        """Start a head and return at once. The caller holds the lock."""
        self._clear()
        try:
            self._where.make_temp(self._where.ray_temp.name)
        except (OSError, PlaceError) as error:
            raise ClusterStartError(f"The local Ray head has no place: {error}") from None
        token = secrets.token_hex(32)
        token_file = self._folder / "token"
        _write_private(token_file, token)
        ports: list[int] = []
        while len(ports) < 4:  # noqa: PLR2004  (as many as are named below)
            ports.append(processes.free_port("127.0.0.1", ports))
        argv = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *("--node-ip-address=127.0.0.1", f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={ports[2]}"),
            *(f"--dashboard-agent-listen-port={ports[3]}", f"--temp-dir={self._where.ray_temp}"),
            *(f"--object-store-memory={OBJECT_STORE_BYTES}", "--include-log-monitor=false"),
        ]
        env = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        env["TMPDIR"] = str(self._where.ray_temp)  # Python's multiprocessing leaves folders where it works
        env |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
        env |= processes.environment(MARK_VARIABLE, self._where.identity)
        # The shell leaves at once, so the head is nobody's child: no worker has to reap it, and none takes it along.
        started = subprocess.run(  # noqa: S603  (our own argv)
            ["/bin/sh", "-c", '"$@" </dev/null >"$0" 2>&1 & echo $!', str(self._log), *argv],
            env=env,
            cwd="/",
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        pid = int(started.stdout)
        head = Head(pid, processes.born(pid) or 0.0, f"http://127.0.0.1:{ports[2]}", token)
        _write_private(self._record, json.dumps(asdict(head)))
        return head

    def _clear(self) -> None:
        """End and remove what the last head left behind, engines included. The caller holds the lock."""
        if left := processes.end(MARK_VARIABLE, self._where.identity):
            raise ClusterStartError(f"Processes of the last Ray head do not end: {', '.join(map(str, left))}")
        shutil.rmtree(self._where.ray_temp, ignore_errors=True)
        self._where.remove_temp(self._where.ray_temp.name)
        self._record.unlink(missing_ok=True)

    def _last_words(self) -> str:
        lines = [line.strip() for line in _last_bytes(self._log).splitlines() if line.strip()]
        return lines[-1] if lines else f"see {self._log}"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the head: one process at a time starts or ends it.

        Raises:
            ClusterStartingError: if another one is at it for long.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        with (self._folder / "lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ClusterStartingError("Another process starts or ends the local Ray head.") from None
                    time.sleep(POLL_SECONDS)
            yield


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _last_bytes(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - log_part.KEPT_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
