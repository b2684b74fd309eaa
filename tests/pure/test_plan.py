import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher import plan
from launcher.cluster import JobState, JobView
from launcher.plan import Act, Facts, Observation, Step
from launcher.states import MOVES, Desired, State

NOW = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)
RUNNING = JobView(JobState.RUNNING)
GONE = JobView(JobState.GONE)
KILLED = JobView(JobState.FAILED, exit_code=-9)
FINISHED = JobView(JobState.SUCCEEDED, exit_code=0)
STOPPED = JobView(JobState.STOPPED)


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def facts(state: State, desired: Desired = Desired.RUNNING, **changes: Any) -> Facts:
    known: dict[str, Any] = {
        "since": ago(5),
        "asked_at": ago(5),
        "claimed": state not in {State.STOPPED, State.PENDING},
        "draining": False,
        "failures": 0,
        "max_restarts": 3,
        "restarts": True,
        "startup_seconds": 600,
        "drain_seconds": 20,
    }
    return Facts(state=state, desired=desired, **(known | changes))


def decide(state: State, desired: Desired, seen: Observation, **changes: Any) -> Step:
    return plan.decide(facts(state, desired, **changes), seen, NOW)


RUN, STOP = Desired.RUNNING, Desired.STOPPED
UNKNOWN = Observation(job=None, trouble="The cluster does not answer.")
ANSWERS = Observation(job=RUNNING, answers=True)
SILENT = Observation(job=RUNNING, problem="No answer within 3 s.")

# (state, desired, what was seen, more facts) → (act, move)
TABLE: list[tuple[State, Desired, Observation, dict[str, Any], Act, State | None]] = [
    (State.STOPPED, STOP, Observation(), {}, Act.NOTHING, None),
    (State.STOPPED, RUN, Observation(), {}, Act.NOTHING, State.PENDING),
    # Pending, before a generation is claimed.
    (State.PENDING, RUN, Observation(), {}, Act.LAUNCH, None),
    (State.PENDING, STOP, Observation(), {}, Act.NOTHING, State.STOPPED),
    (State.PENDING, RUN, Observation(), {"problems": ["port cannot be set."]}, Act.NOTHING, State.FAILED),
    # Pending, claimed: whoever claimed it may have died before, or after, it submitted.
    (State.PENDING, RUN, Observation(job=GONE), {"claimed": True}, Act.LAUNCH, None),
    (State.PENDING, RUN, Observation(job=RUNNING), {"claimed": True}, Act.NOTHING, State.STARTING),
    (State.PENDING, RUN, Observation(job=KILLED), {"claimed": True}, Act.NOTHING, State.STARTING),
    (State.PENDING, RUN, UNKNOWN, {"claimed": True}, Act.NOTHING, None),
    (State.PENDING, STOP, Observation(job=RUNNING), {"claimed": True}, Act.NOTHING, State.STARTING),
    (State.PENDING, STOP, Observation(job=GONE), {"claimed": True}, Act.NOTHING, None),
    (State.PENDING, STOP, Observation(job=GONE), {"claimed": True, "asked_at": ago(31)}, Act.NOTHING, State.STOPPED),
    # Starting.
    (State.STARTING, RUN, SILENT, {}, Act.NOTHING, None),
    (State.STARTING, RUN, UNKNOWN, {}, Act.NOTHING, None),
    (State.STARTING, RUN, ANSWERS, {}, Act.NOTHING, State.READY),
    (State.STARTING, RUN, Observation(job=KILLED), {}, Act.NOTHING, State.FAILED),
    (State.STARTING, RUN, Observation(job=KILLED, port_lost=True), {}, Act.NOTHING, State.FAILED),
    (State.STARTING, RUN, SILENT, {"restart": True}, Act.NOTHING, State.STOPPING),
    (State.UNHEALTHY, RUN, SILENT, {"restart": True}, Act.NOTHING, State.STOPPING),
    (State.READY, RUN, ANSWERS, {"restart": True}, Act.NOTHING, State.STOPPING),
    (State.READY, RUN, ANSWERS, {"restart": True, "restart_after": "other"}, Act.NOTHING, None),
    (State.READY, RUN, Observation(job=KILLED), {"restart": True, "restart_after": "x"}, Act.NOTHING, State.FAILED),
    (State.STOPPING, RUN, Observation(job=STOPPED), {"restart": True}, Act.NOTHING, State.STOPPED),
    (State.STARTING, RUN, Observation(job=GONE), {}, Act.NOTHING, State.FAILED),
    (State.STARTING, RUN, Observation(job=FINISHED), {}, Act.NOTHING, State.FAILED),
    (State.STARTING, RUN, SILENT, {"since": ago(601)}, Act.NOTHING, State.FAILED),
    (State.STARTING, RUN, UNKNOWN, {"since": ago(601)}, Act.NOTHING, State.FAILED),
    (State.STARTING, STOP, SILENT, {}, Act.NOTHING, State.STOPPING),
    # Ready and unhealthy.
    (State.READY, RUN, ANSWERS, {}, Act.NOTHING, None),
    (State.READY, RUN, SILENT, {}, Act.NOTHING, State.UNHEALTHY),
    (State.READY, RUN, Observation(job=None, trouble="x", answers=True), {}, Act.NOTHING, None),
    (State.READY, RUN, Observation(job=KILLED, answers=True), {}, Act.NOTHING, State.FAILED),
    (State.READY, STOP, ANSWERS, {}, Act.NOTHING, State.STOPPING),
    (State.UNHEALTHY, RUN, ANSWERS, {}, Act.NOTHING, State.READY),
    (State.UNHEALTHY, RUN, SILENT, {}, Act.NOTHING, None),
    (State.UNHEALTHY, RUN, SILENT, {"since": ago(301)}, Act.NOTHING, State.FAILED),
    (State.UNHEALTHY, RUN, Observation(job=GONE), {}, Act.NOTHING, State.FAILED),
    (State.UNHEALTHY, RUN, UNKNOWN, {}, Act.NOTHING, None),
    (State.UNHEALTHY, STOP, SILENT, {}, Act.NOTHING, State.STOPPING),
    # Stopping: drain, job, processes, port; whatever is wanted by now.
    (State.STOPPING, STOP, ANSWERS, {"draining": True}, Act.NOTHING, None),
    (State.STOPPING, STOP, ANSWERS, {"draining": True, "since": ago(21)}, Act.STOP_JOB, None),
    (State.STOPPING, STOP, ANSWERS, {}, Act.STOP_JOB, None),
    (State.STOPPING, RUN, ANSWERS, {}, Act.STOP_JOB, None),
    (State.STOPPING, STOP, Observation(job=STOPPED, survivors=["7 (x)"]), {}, Act.END_PROCESSES, None),
    (State.STOPPING, STOP, Observation(job=STOPPED, port_free=False), {}, Act.NOTHING, None),
    (State.STOPPING, STOP, Observation(job=STOPPED), {}, Act.NOTHING, State.STOPPED),
    (State.STOPPING, STOP, Observation(job=STOPPED), {"draining": True}, Act.NOTHING, State.STOPPED),
    (State.STOPPING, RUN, Observation(job=GONE), {}, Act.NOTHING, State.STOPPED),
    (State.STOPPING, STOP, UNKNOWN, {}, Act.NOTHING, None),
    (State.STOPPING, STOP, UNKNOWN, {"since": ago(46)}, Act.NOTHING, State.FAILED),
    (State.STOPPING, STOP, SILENT, {"since": ago(46)}, Act.NOTHING, State.FAILED),
    (State.STOPPING, STOP, Observation(survivors=["7 (x)"]), {"since": ago(46)}, Act.NOTHING, State.FAILED),
    # Failed: first nothing may be left of it, then the restart policy has its say.
    (State.FAILED, RUN, SILENT, {"failures": 1}, Act.STOP_JOB, None),
    (State.FAILED, RUN, Observation(job=KILLED, survivors=["7 (x)"]), {"failures": 1}, Act.END_PROCESSES, None),
    (State.FAILED, RUN, UNKNOWN, {"failures": 1, "since": ago(999)}, Act.NOTHING, None),
    (State.FAILED, RUN, Observation(job=KILLED), {"failures": 1, "since": ago(9)}, Act.NOTHING, None),
    (State.FAILED, RUN, Observation(job=KILLED), {"failures": 1, "since": ago(10)}, Act.NOTHING, State.PENDING),
    (State.FAILED, RUN, Observation(port_free=False), {"failures": 1, "since": ago(10)}, Act.NOTHING, State.PENDING),
    (State.FAILED, RUN, Observation(), {"failures": 3, "since": ago(39)}, Act.NOTHING, None),
    (State.FAILED, RUN, Observation(), {"failures": 3, "since": ago(40)}, Act.NOTHING, State.PENDING),
    (State.FAILED, RUN, Observation(), {"failures": 4, "since": ago(9999)}, Act.NOTHING, None),
    (State.FAILED, RUN, Observation(), {"failures": 1, "restarts": False, "since": ago(99)}, Act.NOTHING, None),
    (State.FAILED, RUN, Observation(), {"failures": 1, "problems": ["x"], "since": ago(99)}, Act.NOTHING, None),
    (State.FAILED, RUN, Observation(), {"failures": 0, "restarts": False}, Act.NOTHING, State.PENDING),
    (State.FAILED, STOP, Observation(), {"failures": 1}, Act.NOTHING, State.STOPPED),
    (State.FAILED, STOP, SILENT, {"failures": 1}, Act.STOP_JOB, None),
    (State.FAILED, STOP, UNKNOWN, {"failures": 1, "claimed": False}, Act.NOTHING, State.STOPPED),
]


@pytest.mark.parametrize(("state", "desired", "seen", "more", "act", "move"), TABLE)
def test_the_table(
    state: State, desired: Desired, seen: Observation, more: dict[str, Any], act: Act, move: State | None
) -> None:
    step = decide(state, desired, seen, **more)
    assert (step.act, step.move) == (act, move)


def test_every_move_of_the_state_table_is_made_somewhere() -> None:
    made = {(state, move) for state, *_, move in TABLE if move is not None}
    assert made == set(MOVES)


job_views = st.one_of(
    st.none(), st.builds(JobView, st.sampled_from(JobState), exit_code=st.sampled_from([None, 0, 1, -9]))
)
observations = st.builds(
    Observation,
    job=job_views,
    trouble=st.just("x"),
    answers=st.booleans(),
    problem=st.just("y"),
    survivors=st.sampled_from([[], ["7 (x)"]]),
    port_free=st.booleans(),
)
any_facts = st.builds(
    Facts,
    state=st.sampled_from(State),
    desired=st.sampled_from(Desired),
    since=st.integers(0, 5000).map(ago),
    asked_at=st.one_of(st.none(), st.integers(0, 100).map(ago)),
    claimed=st.booleans(),
    draining=st.booleans(),
    failures=st.integers(0, 9),
    max_restarts=st.integers(0, 5),
    restarts=st.booleans(),
    startup_seconds=st.integers(10, 1000),
    drain_seconds=st.integers(0, 60),
    problems=st.sampled_from([[], ["z"]]),
)


@given(known=any_facts, seen=observations)
def test_a_step_is_lawful_and_is_one_thing(known: Facts, seen: Observation) -> None:
    step = plan.decide(known, seen, NOW)
    assert step.move is None or (known.state, step.move) in MOVES
    assert step.move is None or (step.act == Act.NOTHING and step.reason)
    assert (step.failures is not None) == (step.move == State.FAILED)


@given(known=any_facts, seen=observations)
def test_stopped_is_only_said_when_nothing_is_left(known: Facts, seen: Observation) -> None:
    step = plan.decide(known, seen, NOW)
    if step.move == State.STOPPED and known.claimed:
        assert seen.job is not None
        assert not seen.job.state.active
        if known.state != State.PENDING:  # nothing was ever seen of it there
            assert not seen.survivors


@given(known=any_facts, seen=observations)
def test_nothing_is_launched_that_is_not_wanted_or_still_there(known: Facts, seen: Observation) -> None:
    step = plan.decide(known, seen, NOW)
    if step.act == Act.LAUNCH:
        assert known.desired == Desired.RUNNING
        assert not known.claimed or (seen.job is not None and seen.job.state == JobState.GONE)


@pytest.mark.parametrize(
    ("job", "cause", "reason"),
    [
        (KILLED, "", "The process was killed by signal 9 (SIGKILL: by hand, or by the kernel for want of memory)."),
        (JobView(JobState.FAILED, exit_code=137), "", "signal 9 (SIGKILL"),
        (JobView(JobState.FAILED, exit_code=-64), "", "signal 64 (see signal(7))"),
        (JobView(JobState.FAILED, exit_code=1), "Out.", "The process ended with exit code 1. Out."),
        (JobView(JobState.FAILED, exit_code=130), "", "The process ended with exit code 130."),
        (KILLED, "An error of long ago.", "for want of memory)."),
        (FINISHED, "Out.", "It ended by itself, as vLLM does when its engine core dies (exit code 0). Out."),
        (JobView(JobState.FAILED, message="actor died"), "", "actor died"),
        (JobView(JobState.FAILED), "", "The job failed."),
        (JobView(JobState.GONE, message="The Ray head is gone."), "", "The Ray head is gone."),
        (GONE, "", "The cluster does not know the job any more."),
        (STOPPED, "", "Its job was stopped by someone else."),
    ],
)
def test_a_failure_says_how_it_ended(job: JobView, cause: str, reason: str) -> None:
    step = decide(State.READY, RUN, Observation(job=job, cause=cause))
    assert step.move == State.FAILED
    assert reason in step.reason
    assert step.reason.endswith(reason[-4:]) or cause == ""


def test_a_start_that_takes_too_long_says_where_it_was() -> None:
    late = decide(State.STARTING, RUN, Observation(job=RUNNING, phase="loading the model"), since=ago(601))
    assert late.reason == "Not ready after 600 s (last: loading the model)."


def test_a_stop_that_fails_names_what_is_left() -> None:
    seen = Observation(job=STOPPED, survivors=["71 (VLLM::EngineCore)", "72 (python)"])
    step = decide(State.STOPPING, STOP, seen, since=ago(46))
    assert step.reason == "It could not be stopped: processes are left: 71 (VLLM::EngineCore), 72 (python)."


def test_refused_settings_are_named() -> None:
    step = decide(State.PENDING, RUN, Observation(), problems=["port cannot be set.", "seed must be text."])
    assert step.reason == "Its settings were refused. port cannot be set. seed must be text."


def test_failures_are_counted_in_a_row() -> None:
    crash = Observation(job=KILLED)
    assert decide(State.STARTING, RUN, crash, failures=2).failures == 3
    assert decide(State.READY, RUN, crash, failures=2, since=ago(599)).failures == 3
    assert decide(State.READY, RUN, crash, failures=2, since=ago(600)).failures == 1


def test_a_port_that_was_lost_is_no_failure() -> None:
    lost = Observation(job=JobView(JobState.FAILED, exit_code=1), port_lost=True, cause="Address already in use.")
    step = decide(State.STARTING, RUN, lost, failures=2)
    assert (step.failures, step.reason[:31]) == (2, "Another program took its port. ")
    assert decide(State.FAILED, RUN, lost, failures=0).move == State.PENDING


def test_the_pause_doubles_up_to_five_minutes() -> None:
    assert [plan.backoff_seconds(count) for count in (1, 2, 3, 4, 5, 6, 7, 1000)] == [
        10,
        20,
        40,
        80,
        160,
        300,
        300,
        300,
    ]


def test_a_wait_says_when_it_is_over() -> None:
    step = decide(State.FAILED, RUN, Observation(), failures=2, since=ago(5))
    assert step.phase == "restart 2 of 3 at 12:00:15 UTC"


def test_an_unanswered_question_is_shown_as_one() -> None:
    for state in (State.STARTING, State.UNHEALTHY):
        assert decide(state, RUN, UNKNOWN).phase == "The cluster does not answer."
    assert decide(State.PENDING, RUN, UNKNOWN, claimed=True).phase == "The cluster does not answer."
    assert decide(State.READY, RUN, Observation(job=None, trouble="x", answers=True)).phase == "x"
