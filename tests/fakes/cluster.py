"""A full cluster in this process, whose jobs are real processes. It passes the contract tests of the real one."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from launcher import log_part
from launcher.cluster import ClusterUnreachableError, JobSpec, JobState, JobView, LogPart, Node
from launcher.cluster import Job as Row

TERM_SECONDS = 3.0


@dataclass
class Job:
    """One job and its process."""

    process: subprocess.Popen[bytes]
    log: Path
    stopping: bool = False


@dataclass
class FakeCluster:
    """Runs jobs as processes of this machine. What can happen to a cluster can be done to it by hand.

    `folder`: for logs. `gpus`: on its head; `others`: the other nodes' by address. `held`: what is given away, by node
    and job. `silent`: set, and every call raises. `after_submit`: called once a job runs, before submit
    returns. `launched`: every job that was ever run, in order; `specs`: how.
    """

    folder: Path
    local: bool = True
    gpus: int = 0
    others: dict[str, int] = field(default_factory=dict)
    held: dict[str, dict[str, int]] = field(default_factory=dict)
    silent: bool = False
    up: bool = False
    launched: list[str] = field(default_factory=list)
    specs: dict[str, JobSpec] = field(default_factory=dict)
    after_submit: Callable[[], None] = lambda: None
    jobs_by_id: dict[str, Job] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ensure(self) -> None:
        """Be up."""
        self._answer()
        self.up = True

    def nodes(self) -> list[Node]:
        """Return the machines there are: one, or as many as it was given."""
        self._answer()
        gpus = {"127.0.0.1": self.gpus, **self.others} if self.up else {}
        return [
            Node(address, address == "127.0.0.1", count, self.held.get(address, {})) for address, count in gpus.items()
        ]

    def jobs(self) -> list[Row]:
        """Return the jobs that it has, and had."""
        self._answer()
        return [Row(name, self.view(name).state) for name in [*self.jobs_by_id]] if self.up else []

    def submit(self, job: JobSpec) -> bool:
        """Run the job once."""
        self._answer()
        with self._lock:
            if not self.up:
                raise ClusterUnreachableError("The cluster does not run.")
            if job.submission_id in self.jobs_by_id:
                return False
            self.jobs_by_id[job.submission_id] = self._run(job)
            self.launched.append(job.submission_id)
            self.specs[job.submission_id] = job
        self.after_submit()
        return True

    def view(self, submission_id: str) -> JobView:
        """Return what became of a job."""
        self._answer()
        if not self.up:
            return JobView(JobState.GONE, "The head is gone, and the job with it.")
        job = self.jobs_by_id.get(submission_id)
        if job is None:
            return JobView(JobState.GONE)
        code = job.process.poll()
        if code is None:
            return JobView(JobState.RUNNING)
        if job.stopping:
            return JobView(JobState.STOPPED, exit_code=code)
        return JobView(JobState.SUCCEEDED if code == 0 else JobState.FAILED, exit_code=code)

    def log(self, submission_id: str) -> str:
        """Return what the job wrote."""
        job = self.jobs_by_id.get(submission_id)
        return job.log.read_text(errors="replace") if job is not None else ""

    def log_after(self, submission_id: str, place: int, *, last: bool = False) -> LogPart | None:
        """Return what the job wrote after a place."""
        if (job := self.jobs_by_id.get(submission_id)) is None:
            return None
        data = job.log.read_bytes()
        began = log_part.begin(len(data), place)
        return log_part.cut(data[began : began + log_part.PART_BYTES], began, first=began not in {0, place}, last=last)

    def stop(self, submission_id: str) -> None:
        """End the job's process group: politely, and three seconds later not."""
        self._answer()
        job = self.jobs_by_id.get(submission_id)
        if job is None or job.process.poll() is not None:
            return
        job.stopping = True
        _signal(job, signal.SIGTERM)
        threading.Thread(target=self._insist, args=(job,)).start()

    def shutdown(self) -> None:
        """End every job, and forget it; nothing happens to a cluster that was joined."""
        if self.local:
            self.die()

    def die(self) -> None:
        """Be gone, jobs and all, whoever it belongs to."""
        self.up = False
        for job in [*self.jobs_by_id.values()]:
            if job.process.poll() is None:
                _signal(job, signal.SIGKILL)
            job.process.wait()
        self.jobs_by_id.clear()

    def kill(self, submission_id: str) -> None:
        """Kill the job's first process alone, as `kill -9` does."""
        self.jobs_by_id[submission_id].process.kill()
        self.jobs_by_id[submission_id].process.wait()

    def _answer(self) -> None:
        if self.silent:
            raise ClusterUnreachableError("The cluster does not answer.")

    def _run(self, job: JobSpec) -> Job:
        log = self.folder / f"{job.submission_id}.log"
        tools = str(Path(job.argv[0]).parent)
        env = {**os.environ, **job.env, **job.secrets, "PATH": f"{tools}:{os.environ['PATH']}"}
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$@"', "sh", *job.argv],
                env=env,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Job(process, log)

    def _insist(self, job: Job) -> None:
        deadline = time.monotonic() + TERM_SECONDS
        while job.process.poll() is None:
            if time.monotonic() > deadline:
                _signal(job, signal.SIGKILL)
                job.process.wait()
            time.sleep(0.02)


def _signal(job: Job, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended, and the thread that waited for it has not said so yet
        os.killpg(job.process.pid, number)
