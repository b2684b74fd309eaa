"""The reconciler when things go wrong: workers, engines and clusters that die, hang, race or refuse."""

import datetime as dt
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from endpoints.models import Endpoint
from launcher import claiming, places, processes, reconcile, services
from launcher.attempt import Attempt
from launcher.cluster import SubmitError
from launcher.models import Engine
from launcher.states import Desired, State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import VARIABLE, drive, endpoint_of, history, job_id, make_engine, mark, ready, visit, wanted

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_killed_engine_is_noticed_leaves_its_pools_at_once_and_comes_back(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    first_url = engine.base_url
    cluster.kill(engine.submission_id)
    engine = visit(engine, cluster)
    assert engine.state == State.FAILED
    assert "signal 9 (SIGKILL" in engine.state_reason
    endpoint = endpoint_of(engine)
    assert endpoint.health == "unhealthy"
    assert endpoint.health_reason.startswith("Engine tiny is failed. The process was killed by signal 9")

    engine = visit(engine, cluster)
    assert (engine.state, engine.phase[:15]) == (State.FAILED, "restart 1 of 5 ")
    later = timezone.now() + dt.timedelta(seconds=11)
    assert reconcile.reconcile_engine(engine.pk, cluster, now=later) is True
    engine = drive(engine, cluster, until=State.READY)
    assert cluster.launched == [job_id(engine, 1), job_id(engine, 2)]
    assert endpoint_of(engine).pk == endpoint.pk
    assert endpoint_of(engine).health == "healthy"
    assert endpoint_of(engine).base_url == engine.base_url != first_url


def test_after_too_many_failures_it_stays_failed_until_it_is_started_again(cluster: FakeCluster) -> None:
    engine = wanted(make_engine(env={"FAKE_EXIT": "7"}, max_restarts=1))
    now, after = timezone.now(), 0
    deadline = time.monotonic() + 60
    while after < 20:
        now += dt.timedelta(seconds=400)
        reconcile.reconcile_engine(engine.pk, cluster, now=now)
        engine.refresh_from_db()
        after += engine.failures == 2
        assert time.monotonic() < deadline, engine.state_reason
        time.sleep(0.02)
    assert (engine.state, engine.failures, engine.generation) == (State.FAILED, 2, 2)
    wanted(engine)
    assert drive(engine, cluster, until=lambda row: row.generation == 3).failures == 0


def test_what_outlives_a_killed_engine_is_ended(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_CHILD": "1"}, restart_policy=Engine.RestartPolicy.NEVER)
    assert len(processes.marked(VARIABLE, mark(engine))) == 2
    cluster.kill(engine.submission_id)
    engine = visit(engine, cluster)
    assert engine.state == State.FAILED
    assert len(processes.marked(VARIABLE, mark(engine))) == 1
    drive(engine, cluster, until=lambda row: not processes.marked(VARIABLE, mark(row)))
    services.stop(engine, by="test")
    assert drive(engine, cluster, until=State.STOPPED).state_reason.endswith("nothing is left of it.")


def test_a_worker_that_dies_after_the_submission_loses_nothing(cluster: FakeCluster) -> None:
    class WorkerDiedError(Exception):
        pass

    def die() -> None:
        raise WorkerDiedError

    engine = wanted(make_engine())
    visit(engine, cluster)
    cluster.after_submit = die
    with pytest.raises(WorkerDiedError):
        visit(engine, cluster)
    engine.refresh_from_db()
    assert (engine.state, engine.generation) == (State.PENDING, 1)
    cluster.after_submit = lambda: None
    engine = drive(engine, cluster, until=State.READY)
    assert cluster.launched == [job_id(engine, 1)]


def test_a_worker_that_dies_before_the_submission_loses_nothing(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    visit(engine, cluster)
    cluster.ensure()
    engine = Engine.objects.get()
    assert claiming.claim(engine, cluster, cluster.nodes()) == ""  # and then it died
    claimed = Engine.objects.get()
    engine = drive(engine, cluster, until=State.READY)
    assert (engine.generation, engine.base_url) == (1, claimed.base_url)


def test_reconcilers_that_race_launch_once(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    start = threading.Barrier(4)

    def race() -> None:
        start.wait()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            reconcile.reconcile_engine(engine.pk, cluster, now=timezone.now())
            if Engine.objects.get().state == State.READY:
                break
        connection.close()

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert cluster.launched == [job_id(engine, 1)]
    assert history(engine) == ["pending", "starting", "ready"]
    assert Endpoint.objects.count() == 1


def test_a_stop_that_races_with_a_launch_wins(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    visit(engine, cluster)

    def stop() -> None:
        assert services.stop(engine, by="test")

    cluster.after_submit = stop
    drive(engine, cluster, until=State.STOPPED)
    assert processes.marked(VARIABLE, mark(Engine.objects.get())) == []


def test_a_job_that_was_given_up_while_it_was_on_its_way_is_stopped(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    visit(engine, cluster)

    def delete() -> None:
        Engine.objects.all().delete()

    cluster.after_submit = delete
    submission = job_id(engine, 1)
    assert reconcile.reconcile_engine(engine.pk, cluster, now=timezone.now()) is False
    assert cluster.launched == [submission]
    deadline = time.monotonic() + 60
    while cluster.view(submission).state.active:
        assert time.monotonic() < deadline


def test_a_cluster_that_does_not_answer_changes_no_state(cluster: FakeCluster) -> None:
    waiting = wanted(make_engine("waiting"))
    engine = ready(cluster)
    cluster.silent = True
    assert visit(engine, cluster).phase == "The cluster does not answer."
    visit(waiting, cluster)
    assert visit(waiting, cluster).phase == "The cluster does not answer."
    assert {row.state for row in Engine.objects.all()} == {State.READY, State.PENDING}
    assert endpoint_of(engine).health == "healthy"
    services.stop(engine, by="test")
    visit(engine, cluster)
    assert "not proven" in visit(engine, cluster).phase
    cluster.silent = False
    assert drive(engine, cluster, until=State.STOPPED).state_reason == "Nothing is left of it."


def test_an_engine_fails_when_its_cluster_is_gone_and_starts_again_on_the_next(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    cluster.die()
    engine = visit(engine, cluster)
    assert (engine.state, engine.state_reason) == (State.FAILED, "The head is gone, and the job with it.")
    later = timezone.now() + dt.timedelta(seconds=11)
    reconcile.reconcile_engine(engine.pk, cluster, now=later)
    assert drive(engine, cluster, until=State.READY).generation == 2


def test_a_refused_submission_is_a_failure(cluster: FakeCluster) -> None:
    def refuse() -> None:
        raise SubmitError("Ray did not take the job: no.")

    cluster.after_submit = refuse
    engine = drive(wanted(make_engine()), cluster, until=State.FAILED)
    assert engine.state_reason == "It could not be launched: Ray did not take the job: no."
    assert engine.failures == 1


def test_an_engine_that_does_not_answer_is_unhealthy_and_comes_back(cluster: FakeCluster, tmp_path: Path) -> None:
    sick = tmp_path / "sick"
    engine = ready(cluster, env={"FAKE_SICK": str(sick)})
    sick.touch()
    assert visit(engine, cluster).state == State.READY  # once may be chance
    engine = visit(engine, cluster)
    assert (engine.state, engine.state_reason) == (State.UNHEALTHY, "GET /health answers HTTP 503.")
    assert endpoint_of(engine).health == "unhealthy"
    sick.unlink()
    engine = visit(engine, cluster)
    assert (engine.state, endpoint_of(engine).health) == (State.READY, "healthy")
    assert history(engine)[-2:] == ["unhealthy", "ready"]


def test_a_hung_engine_fails_after_a_while_and_is_ended(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    (process,) = [view.pid for view in processes.marked(VARIABLE, mark(engine))]
    os.kill(process, signal.SIGSTOP)
    drive(engine, cluster, until=State.UNHEALTHY)
    assert Engine.objects.get().state_reason == "No answer within 3 s."
    later = timezone.now() + dt.timedelta(seconds=301)
    assert reconcile.reconcile_engine(engine.pk, cluster, now=later) is True
    drive(engine, cluster, until=lambda row: not processes.marked(VARIABLE, mark(row)))
    assert Engine.objects.get().state == State.FAILED


def test_two_that_bring_an_endpoint_back_leave_no_second_one(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    endpoint_of(engine).delete()
    rows = [Engine.objects.get(pk=engine.pk) for _ in range(2)]  # as two hosts hold it
    for row in rows:
        reconcile._register(Attempt(row, cluster, places.of_this_host()), timezone.now())
    assert Endpoint.objects.get() == endpoint_of(engine)


def test_an_endpoint_that_was_deleted_comes_back(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    endpoint_of(engine).delete()
    engine = visit(engine, cluster)
    assert engine.state == State.READY
    assert endpoint_of(engine).base_url == engine.base_url


def test_shutdown_ends_everything_and_keeps_the_wishes(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_CHILD": "1"})
    starting = drive(wanted(make_engine("slow", env={"FAKE_START_SECONDS": "600"})), cluster, until=State.STARTING)
    pending = visit(wanted(make_engine("waiting")), cluster)
    failed = drive(wanted(make_engine("failed", env={"FAKE_EXIT": "1"})), cluster, until=State.FAILED)
    begun = time.monotonic()
    assert reconcile.shutdown_local(cluster) == []
    assert time.monotonic() - begun < 30
    assert not cluster.up
    states = dict(Engine.objects.values_list("name", "state"))
    assert states == {"tiny": "stopped", "slow": "stopped", "waiting": "stopped", "failed": "failed"}
    for row in (engine, starting, pending, failed):
        row.refresh_from_db()
        assert row.desired_state == Desired.RUNNING
        assert processes.marked(VARIABLE, mark(row)) == []
    assert engine.state_reason == "Roundhouse was shut down."
    assert history(engine)[-2:] == ["stopping", "stopped"]
    assert endpoint_of(engine).health == "unhealthy"
    assert reconcile.shutdown_local(cluster) == []
    assert drive(engine, cluster, until=State.READY).generation == 2


def test_shutdown_ends_everything_though_no_key_can_be_decrypted(cluster: FakeCluster, settings: Settings) -> None:
    engine = ready(cluster)
    settings.SECRET_KEY = "another" * 8
    (problem,) = reconcile.shutdown_local(cluster)
    assert "cannot be read with this secret key" in problem
    assert not cluster.up
    assert processes.marked(VARIABLE, mark(engine)) == []


def test_a_joined_cluster_is_left_alone_by_a_shutdown(cluster: FakeCluster) -> None:
    cluster.local = False
    engine = ready(cluster)
    assert reconcile.shutdown_local(cluster) == []
    assert visit(engine, cluster).state == State.READY
