"""What to do next about an engine: from what is wanted and what was seen to one small step. Pure.

`decide` is called again and again, by whoever comes by; it remembers nothing. Every state has one function below, and
each reads like a table: the first line that applies is the step. Three rules hold in all of them:

1. What is unknown (the cluster does not answer) is never taken for gone: the state is kept, and the phase says why.
2. An attempt that was claimed (it has a generation and a port) is looked for before another one is begun.
3. `stopped` needs proof: the job is over, no process carries its mark, its port is free.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from launcher.cluster import JobState, JobView, Node
from launcher.states import Desired, State

BACKOFF_SECONDS = 10  # after the first failure; doubled after each more
MAX_BACKOFF_SECONDS = 300
STABLE_SECONDS = 600  # an engine that was ready that long begins to count its failures anew
UNHEALTHY_SECONDS = 300  # alive without an answer for that long counts as dead
STOP_SECONDS = 45  # for the job and its processes to end, after the drain
SUBMIT_SECONDS = 30  # longer than any submission that was begun before a stop was asked for can take

SIGNALS = {
    6: "SIGABRT",
    9: "SIGKILL: by hand, or by the kernel for want of memory",
    11: "SIGSEGV",
    15: "SIGTERM",
}


NO_JOB = JobView(JobState.GONE)


class Act(StrEnum):
    """What to do to the outside world in a step. Everything here may be done twice without harm."""

    NOTHING = "nothing"
    LAUNCH = "launch"
    STOP_JOB = "stop job"
    END_PROCESSES = "end processes"


@dataclass(frozen=True)
class Facts:
    """The engine as it is written down.

    `claimed`: an attempt was begun and has a generation and a port. `draining`: it served until the stop was asked for.
    `problems`: why its settings cannot be launched. `restart`: this attempt is to be replaced; `restart_after`: once
    the engine of that name, which serves the same profile, is through with its own restart.
    """

    state: State
    desired: Desired
    since: dt.datetime
    asked_at: dt.datetime | None
    claimed: bool
    draining: bool
    failures: int
    max_restarts: int
    restarts: bool
    startup_seconds: int
    drain_seconds: int
    problems: Sequence[str] = ()
    restart: bool = False
    restart_after: str = ""


@dataclass(frozen=True)
class Observation:
    """What was seen of the current attempt. `job` is None if the cluster does not answer; `trouble` says why then.

    `answers`: before it is ready, that it generated a token; after, that its health is good. `problem`: why not.
    `port_lost`: another program listens on its port, and that is what ended it. `survivors`: processes of it on this
    machine, and GPUs that the cluster holds for it, as people would name them. `progress`: the phase in numbers.
    """

    job: JobView | None = NO_JOB
    trouble: str = ""
    answers: bool = False
    problem: str = ""
    phase: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""
    port_lost: bool = False
    survivors: Sequence[str] = ()
    port_free: bool = True


@dataclass(frozen=True)
class Step:
    """One step: an act, or a move, or a wait. `failures` is the new count if it changes."""

    act: Act = Act.NOTHING
    move: State | None = None
    reason: str = ""
    phase: str = ""
    failures: int | None = None


def decide(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    """Return the next step."""
    return _TABLE[facts.state](facts, seen, now)


def uses_gpus(device: str, nodes: Sequence[Node]) -> bool:
    """Return whether the engine is to run on GPUs: if told so, or if left to choose and there are any."""
    return device == "cuda" or (device == "auto" and any(node.gpus for node in nodes))


def backoff_seconds(failures: int) -> int:
    """Return the pause after that many failures in a row."""
    return min(BACKOFF_SECONDS << min(failures - 1, 10), MAX_BACKOFF_SECONDS)


def _stopped(facts: Facts, _seen: Observation, _now: dt.datetime) -> Step:
    return Step(move=State.PENDING, reason="It is wanted.") if facts.desired == Desired.RUNNING else Step()


def _pending(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    wanted = facts.desired == Desired.RUNNING
    if not facts.claimed:
        if not wanted:
            return Step(move=State.STOPPED, reason="It is not wanted any more; nothing was submitted.")
        if facts.problems:
            return _fail(facts, "Its settings were refused. " + " ".join(facts.problems), now)
        return Step(Act.LAUNCH)
    if seen.job is None:
        return Step(phase=seen.trouble)
    if seen.job.state != JobState.GONE:
        return Step(move=State.STARTING, reason="The job was submitted.")
    if wanted:
        return Step(Act.LAUNCH)
    if facts.asked_at is not None and _age(facts.asked_at, now) < SUBMIT_SECONDS:
        return Step(phase="waiting until nobody can be submitting it any more")
    return Step(move=State.STOPPED, reason="It is not wanted any more; its job was never seen.")


def _starting(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    if leaving := _leaving(facts):
        return leaving
    if ended := _ended(seen):
        if seen.port_lost:  # nobody's fault: the next attempt takes another one
            return Step(move=State.FAILED, reason=f"Another program took its port. {ended}", failures=facts.failures)
        return _fail(facts, ended, now)
    if seen.answers:
        return Step(move=State.READY, reason="It generated its first token.")
    if _age(facts.since, now) > facts.startup_seconds:
        last = seen.problem or seen.phase or "its log says nothing"
        return _fail(facts, f"Not ready after {facts.startup_seconds} s (last: {last}).", now)
    return Step(phase=seen.trouble or seen.problem or seen.phase or "starting the process")


def _ready(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    if leaving := _leaving(facts):
        return leaving
    if ended := _ended(seen):
        return _fail(facts, ended, now)
    if not seen.answers:
        return Step(move=State.UNHEALTHY, reason=seen.problem)
    waits = f"its restart waits for that of {facts.restart_after}" if facts.restart else ""
    return Step(phase=seen.trouble or waits)


def _unhealthy(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    if leaving := _leaving(facts):
        return leaving
    if ended := _ended(seen):
        return _fail(facts, ended, now)
    if seen.answers:
        return Step(move=State.READY, reason="It answers again.")
    if _age(facts.since, now) > UNHEALTHY_SECONDS:
        return _fail(facts, f"It did not answer for {UNHEALTHY_SECONDS} s. {seen.problem}", now)
    return Step(phase=seen.trouble or seen.problem)


def _stopping(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    running = seen.job is None or seen.job.state.active
    drain = facts.drain_seconds if facts.draining else 0
    age = _age(facts.since, now)
    if running and age < drain:
        return Step(phase=f"running answers may go on for up to {drain} s")
    left = _left(seen)
    if not left:
        return Step(move=State.STOPPED, reason="Nothing is left of it.")
    if age > drain + STOP_SECONDS:
        return _fail(facts, f"It could not be stopped: {left}.", now)
    return _end(seen, phase=left)


def _failed(facts: Facts, seen: Observation, now: dt.datetime) -> Step:
    wanted = facts.desired == Desired.RUNNING
    # A port that is taken while nothing of ours is left is somebody else's: perhaps the very reason of the failure.
    if facts.claimed and (seen.job is None or seen.job.state.active or seen.survivors):
        return _end(seen, phase=_left(seen))
    if not wanted:
        return Step(move=State.STOPPED, reason="It is not wanted any more, and nothing is left of it.")
    if facts.failures == 0:
        return Step(move=State.PENDING, reason="It is wanted again.")
    if facts.problems or not facts.restarts or facts.failures > facts.max_restarts:
        return Step()
    due = facts.since + dt.timedelta(seconds=backoff_seconds(facts.failures))
    attempt = f"restart {facts.failures} of {facts.max_restarts}"
    if now < due:
        return Step(phase=f"{attempt} at {due:%H:%M:%S} UTC")
    return Step(move=State.PENDING, reason=f"The back-off is over: {attempt}.")


_TABLE: dict[State, Callable[[Facts, Observation, dt.datetime], Step]] = {
    State.STOPPED: _stopped,
    State.PENDING: _pending,
    State.STARTING: _starting,
    State.READY: _ready,
    State.UNHEALTHY: _unhealthy,
    State.STOPPING: _stopping,
    State.FAILED: _failed,
}


def _leaving(facts: Facts) -> Step | None:
    """Return the step out of a running attempt that people asked for, if they did."""
    if facts.desired == Desired.STOPPED:
        return Step(move=State.STOPPING, reason="It is not wanted any more.")
    if facts.restart and not facts.restart_after:
        return Step(move=State.STOPPING, reason="A restart was asked for.")
    return None


def _fail(facts: Facts, reason: str, now: dt.datetime) -> Step:
    stable = facts.state == State.READY and _age(facts.since, now) >= STABLE_SECONDS
    return Step(move=State.FAILED, reason=reason, failures=1 if stable else facts.failures + 1)


def _end(seen: Observation, *, phase: str) -> Step:
    """Return the step that ends what is left: the job first, so that the cluster ends its processes itself."""
    if seen.job is None:
        return Step(phase=phase)
    if seen.job.state.active:
        return Step(Act.STOP_JOB, phase=phase)
    return Step(Act.END_PROCESSES if seen.survivors else Act.NOTHING, phase=phase)


def _left(seen: Observation) -> str:
    """Return what is left of an attempt, in words; "" if nothing is."""
    if seen.job is None:
        return f"the job's end is not proven ({seen.trouble})"
    if seen.job.state.active:
        return "the job still runs"
    if seen.survivors:
        return f"processes are left: {', '.join(seen.survivors)}"
    return "" if seen.port_free else "its port is still in use"


def _ended(seen: Observation) -> str:
    """Return how the attempt ended; "" if it did not, or if nobody knows."""
    if seen.job is None or seen.job.state.active:
        return ""
    if seen.job.state == JobState.GONE:
        return seen.job.message or "The cluster does not know the job any more."
    if seen.job.state == JobState.STOPPED:
        return "Its job was stopped by someone else."
    if seen.job.exit_code is None:
        return seen.cause or seen.job.message or "The job failed."
    if seen.job.exit_code == 0:
        return f"It ended by itself, as vLLM does when its engine core dies (exit code 0). {seen.cause}".strip()
    if _signal(seen.job.exit_code):
        return _how(seen.job.exit_code)  # whatever the log holds: that is not what ended it
    return f"{_how(seen.job.exit_code)} {seen.cause}".strip()


def _signal(exit_code: int) -> int:
    """Return the signal that ended a process; 0 if none did. A shell in between reports it as 128 plus its number."""
    if exit_code < 0:
        return -exit_code
    return exit_code - 128 if exit_code - 128 in SIGNALS else 0


def _how(exit_code: int) -> str:
    if signal := _signal(exit_code):
        return f"The process was killed by signal {signal} ({SIGNALS.get(signal, 'see signal(7)')})."
    return f"The process ended with exit code {exit_code}."


def _age(since: dt.datetime, now: dt.datetime) -> float:
    return (now - since).total_seconds()
