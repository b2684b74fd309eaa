"""What the launcher needs of a cluster: submit a job, look at it, stop it. Pure: the protocol, its values, its errors.

`launcher/ray_cluster.py` is the real one; `tests/fakes/cluster.py` is a full fake that passes the same contract tests.

    ClusterError
    ├── ClusterUnreachableError   nothing is known; keep what is believed and look again
    │   └── ClusterStartingError  the same, and it is on its way
    ├── ClusterStartError         a local cluster could not be started
    └── SubmitError               the cluster answered, and took no job
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class ClusterError(Exception):
    """The cluster could not do it; the message is for people."""


class ClusterUnreachableError(ClusterError):
    """The cluster does not answer: what runs on it is unknown."""


class ClusterStartingError(ClusterUnreachableError):
    """The cluster was just started and does not answer yet."""


class ClusterStartError(ClusterError):
    """A local cluster could not be started."""


class SubmitError(ClusterError):
    """The cluster refused the job, for a reason other than that it has it already."""


class JobState(StrEnum):
    """Where a job is. GONE: the cluster knows no such job, or is gone itself, so that nothing of it runs there."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    GONE = "gone"

    @property
    def active(self) -> bool:
        """Whether it runs, or is about to."""
        return self in {JobState.PENDING, JobState.RUNNING}


@dataclass(frozen=True)
class JobSpec:
    """A command to run once, under an id of our choosing. No value of `env` holds `$name`: Ray would replace it.

    `node` is the address of the node where it starts; the cluster's head if it is empty.
    `secrets` are variables as well, which go to the command and to nobody else where the cluster can do that: on a
    local one. Processes that Ray starts for the command inherit `env` alone there.
    """

    submission_id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict)
    node: str = ""


@dataclass(frozen=True)
class JobView:
    """A job as the cluster sees it. `exit_code` is negative for a signal, None if the cluster does not know it."""

    state: JobState
    message: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class Job:
    """A job in the cluster's list."""

    submission_id: str
    state: JobState


@dataclass(frozen=True)
class LogPart:
    """Whole lines of a log, and the place after them. `began` is where they begin: later than asked if some is gone."""

    text: str
    began: int
    place: int


@dataclass(frozen=True)
class Node:
    """One machine of the cluster. `held`: how many of its GPUs are given away, by job; "" stands for what is no job."""

    address: str
    is_head: bool
    gpus: int
    held: Mapping[str, int] = field(default_factory=dict)


class Cluster(Protocol):
    """A place to run jobs. Every call returns within seconds; any may raise ClusterUnreachableError."""

    @property
    def local(self) -> bool:
        """Whether Roundhouse starts and ends this cluster, on this machine; else it is joined, never ended."""

    def ensure(self) -> None:
        """Return once the cluster takes jobs, starting a local one if none runs.

        Raises:
            ClusterStartingError: if it needs longer than a few seconds; call again.
            ClusterStartError: if a local one cannot be started.
        """

    def nodes(self) -> list[Node]:
        """Return the machines that are alive; a local cluster that does not run has none."""

    def jobs(self) -> list[Job]:
        """Return the jobs that it has, and had; those of a local cluster that does not run are gone."""

    def submit(self, job: JobSpec) -> bool:
        """Run the job. Return False if the cluster has, or had, a job of that id: a job is launched at most once.

        Raises:
            SubmitError: if the cluster refuses it.
        """

    def view(self, submission_id: str) -> JobView:
        """Return what became of a job."""

    def log(self, submission_id: str) -> str:
        """Return what the job wrote, the last few megabytes of it; empty if nothing is known of it."""

    def log_after(self, submission_id: str, place: int, *, last: bool = False) -> LogPart | None:
        """Return what the job wrote after a place in its log, some of it at a time; None if nothing is known of it.

        What lies before the last few megabytes is passed over, and so is a place that the log does not have. `last`:
        the job is over, and an unfinished line comes too.
        """

    def stop(self, submission_id: str) -> None:
        """Ask a job to end and return at once. Nothing happens if it has ended, or is not known."""

    def shutdown(self) -> None:
        """End a local cluster and everything in it, and return when that is done. Nothing happens to any other."""
