"""Makes what is, what is wanted: one small step at a time.

`reconcile_engine` loads, observes, decides, acts and moves, once. It may be called by anyone, at any time, by two at
once, and again after any crash: every act may be done twice, and every write is a compare-and-set.
"""

import contextlib
import datetime as dt
import logging
from dataclasses import replace

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, transaction
from django.utils import timezone

from endpoints.services import (
    drain_endpoint,
    register_engine_endpoint,
    send_sessions_elsewhere,
    withdraw_endpoint,
)
from launcher import (
    checks,
    claiming,
    interpreters,
    log_lines,
    places,
    plan,
    processes,
    queries,
    ray_cluster,
    services,
    transitions,
)
from launcher.attempt import Attempt
from launcher.cluster import Cluster, ClusterError, ClusterUnreachableError
from launcher.interpreters import GivenUpError, InterpreterError
from launcher.models import Engine
from launcher.places import PlaceError
from launcher.plan import Act, Facts, Step
from launcher.states import Desired, State

logger = logging.getLogger(__name__)

IDLE_SECONDS = 60.0  # an unused local cluster is kept that long: the next engine starts faster
JOBS_END_SECONDS = 5.0
SHUT_DOWN = "Roundhouse was shut down."


def reconcile_engine(engine_id: int, cluster: Cluster, *, now: dt.datetime) -> bool:
    """Do the next step for an engine. Return whether it moved, so that another look is worth while at once."""
    engine = Engine.objects.select_related("endpoint").filter(pk=engine_id).first()
    if engine is None:
        return False
    if engine.delete_asked and engine.state == State.STOPPED:
        with contextlib.suppress(services.EngineBusyError):  # it is wanted again
            services.delete(engine)
        return False
    attempt = Attempt(engine, cluster, places.of_this_host())
    if attempt.elsewhere:
        return False
    seen = attempt.observe(now)
    step = plan.decide(_facts(attempt), seen, now)
    if step.act == Act.LAUNCH:
        return _launch(attempt, now)
    if step.act == Act.STOP_JOB:
        _stop_job(attempt, now)
    elif step.act == Act.END_PROCESSES:
        attempt.end_processes()
    if step.move is not None:
        return _move(attempt, step, step.move, now)
    if engine.state == State.READY and engine.endpoint_id is None and seen.answers:
        _register(attempt, now)
    transitions.note(engine, phase=step.phase, progress=seen.progress)
    return False


def take_down_unused(cluster: Cluster, *, now: dt.datetime) -> None:
    """End a local cluster that no engine has used for a while."""
    if not cluster.local or queries.to_visit().exists():
        return
    since = queries.newest_state_since()
    if since is None or (now - since).total_seconds() > IDLE_SECONDS:
        try:
            cluster.shutdown()
        except ClusterError as error:
            logger.warning("The local cluster does not end: %s", error)


def shutdown_local(cluster: Cluster | None = None) -> list[str]:
    """Stop the engines of a cluster that Roundhouse started, then the cluster; their wishes stay as they are.

    To be called when no worker runs any more, or it would start them again. Return what could not be ended, one line
    each; empty if nothing is left. Nothing happens to a cluster that was joined.
    """
    cluster = cluster or ray_cluster.from_settings()
    if not cluster.local:
        return []
    problems: list[str] = []
    attempts: list[Attempt] = []
    try:
        engines = Engine.objects.select_related("endpoint").exclude(state=State.STOPPED)
        found = [Attempt(engine, cluster, places.of_this_host()) for engine in engines]
        attempts = [attempt for attempt in found if not attempt.elsewhere]
    except (DatabaseError, ImproperlyConfigured) as error:  # the latter: a stored key cannot be decrypted
        problems.append(f"The database does not say which engines run ({error}); they end with the cluster.")
    problems += _end_all(attempts, cluster)
    now = timezone.now()
    for attempt in attempts:
        try:
            _settle_after_shutdown(attempt, now)
        except DatabaseError as error:
            problems.append(f"That engine {attempt.engine.name} is stopped could not be written down: {error}")
    return problems


def _end_all(attempts: list[Attempt], cluster: Cluster) -> list[str]:
    """End every attempt, then the cluster; return what is left."""
    claimed = [attempt for attempt in attempts if attempt.claimed]
    for attempt in claimed:
        attempt.remember()
        try:
            cluster.stop(attempt.engine.submission_id)
        except ClusterUnreachableError:
            continue  # its processes are ended below all the same
    deadline = timezone.now() + dt.timedelta(seconds=JOBS_END_SECONDS)
    for attempt in claimed:
        seconds = max(0.0, (deadline - timezone.now()).total_seconds())
        if processes.wait_until_gone(*attempt.mark, seconds=seconds):
            attempt.end_processes()
        attempt.keep_log()
    problems = []
    try:
        cluster.shutdown()
    except ClusterError as error:
        problems.append(str(error))
    for attempt in claimed:
        if left := processes.marked(*attempt.mark):
            problems.append(f"Engine {attempt.engine.name}: left over: {', '.join(map(str, left))}")
        else:
            attempt.clear_away()
    return problems


def _settle_after_shutdown(attempt: Attempt, now: dt.datetime) -> None:
    """Write down that an engine stopped, unless something of it is left. A failure stays what it was."""
    state = State(attempt.engine.state)
    if state == State.FAILED or (attempt.claimed and processes.marked(*attempt.mark)):
        return
    if state not in {State.PENDING, State.STOPPING}:
        _move(attempt, Step(reason=SHUT_DOWN), State.STOPPING, now)
    _move(attempt, Step(reason=SHUT_DOWN), State.STOPPED, now)


def _facts(attempt: Attempt) -> Facts:
    engine = attempt.engine
    problems = checks.problems(engine.vllm_serve_kwargs, engine.vllm_serve_env_vars, engine.interpreter)
    return Facts(
        state=State(engine.state),
        desired=Desired(engine.desired_state),
        since=engine.state_since,
        asked_at=engine.desired_at,
        claimed=attempt.claimed,
        draining=attempt.draining,
        failures=engine.failures,
        max_restarts=engine.max_restarts,
        restarts=engine.restart_policy == Engine.RestartPolicy.ON_FAILURE,
        startup_seconds=engine.startup_timeout_seconds,
        drain_seconds=engine.drain_seconds,
        problems=[problem.message for problem in problems],
        restart=engine.restart_asked,
        restart_after=_restart_after(engine),
    )


def _restart_after(engine: Engine) -> str:
    """Return whose restart comes before its own; one that does not serve waits for nobody."""
    return queries.restart_in_the_way(engine) if engine.restart_asked and engine.state == State.READY else ""


def _launch(attempt: Attempt, now: dt.datetime) -> bool:
    """Claim a generation, unless this attempt has one, and submit its job, which happens at most once.

    Return whether another look is worth while at once.
    """
    engine, cluster = attempt.engine, attempt.cluster
    try:
        cluster.ensure()
        nodes = cluster.nodes()
        if not attempt.claimed:
            if interpreters.known(engine.interpreter) is None:
                interpreters.learn(engine.interpreter)
                if _facts(attempt).problems:
                    return True  # the next step says so
            if lack := claiming.claim(engine, cluster, nodes):
                transitions.note(engine, phase=lack)
                return False
            if not attempt.claimed:
                return True  # another process was first: look again
        spec = attempt.spec()
        if not queries.is_to_launch(engine):
            return False
        cluster.submit(spec)
    except (ClusterUnreachableError, GivenUpError) as error:
        transitions.note(engine, phase=str(error))
        return False
    except (ClusterError, PlaceError, InterpreterError, OSError) as error:
        step = Step(reason=f"It could not be launched: {error}", failures=engine.failures + 1)
        return _move(attempt, step, State.FAILED, now)
    moved = _move(attempt, Step(reason="The job was submitted."), State.STARTING, now)
    if not moved and not queries.is_current(engine):
        cluster.stop(engine.submission_id)  # it was given up, or deleted, while the job was on its way
    return moved


def _stop_job(attempt: Attempt, now: dt.datetime) -> None:
    """Take the endpoint out of its pools, then ask the job to end."""
    if attempt.serving is not None:
        withdraw_endpoint(attempt.serving.pk, reason=f"Engine {attempt.engine.name} is stopping.", now=now)
    attempt.remember()
    try:
        attempt.cluster.stop(attempt.engine.submission_id)
    except ClusterUnreachableError as error:
        logger.warning("Engine %s: the stop did not reach the cluster: %s", attempt.engine.name, error)


def _move(attempt: Attempt, step: Step, new: State, now: dt.datetime) -> bool:
    """Move the engine, and its endpoint with it, in one transaction. Return False if another process was first."""
    engine = attempt.engine
    # A cluster's own words may hold what it was given.
    step = replace(step, reason=log_lines.redact(step.reason, attempt.secrets()))
    log_tail = None
    if new in {State.FAILED, State.STOPPED} and attempt.claimed:
        log_tail = log_lines.tail(attempt.keep_log())
    if new in {State.PENDING, State.STOPPED}:
        attempt.clear_away()
    if new == State.READY:
        attempt.remember()
    serving, first = attempt.serving, engine.state == State.STARTING
    with transaction.atomic():
        if not transitions.move(engine, new, reason=step.reason, now=now, failures=step.failures, log_tail=log_tail):
            return False
        if new == State.READY and first:
            _register(attempt, now)
        elif new == State.STOPPING and serving is not None:
            if not send_sessions_elsewhere(serving.pk, reason=f"Engine {engine.name} is stopping.", now=now):
                drain_endpoint(serving.pk)
        elif new in {State.FAILED, State.STOPPED} and engine.endpoint_id is not None:
            withdraw_endpoint(engine.endpoint_id, reason=f"Engine {engine.name} is {new}. {step.reason}", now=now)
    logger.info("Engine %s is %s: %s", engine.name, new, step.reason)
    return True


def _register(attempt: Attempt, now: dt.datetime) -> None:
    """Show the engine to the gateway: as an endpoint, in the pools of its profiles. Nobody's endpoint is left over."""
    engine = attempt.engine
    with transaction.atomic():
        endpoint = register_engine_endpoint(
            engine.endpoint_id,
            name=engine.name,
            base_url=engine.base_url,
            api_key=engine.api_key,
            found=attempt.found,
            profiles=engine.profiles.all(),
            now=now,
        )
        if not transitions.own(engine, endpoint.pk):
            transaction.set_rollback(True)
