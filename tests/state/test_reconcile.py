"""The reconciler over a full fake cluster whose jobs are real processes, real ports and real HTTP."""

import datetime as dt
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from endpoints.models import ConfigProfile, Endpoint
from launcher import places, processes, reconcile, services
from launcher.cluster import SubmitError
from launcher.models import Engine
from launcher.states import Desired, State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import drive, history, make_engine, visit

pytestmark = pytest.mark.django_db(transaction=True)

VARIABLE = "ROUNDHOUSE_ENGINE"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    cluster = FakeCluster(tmp_path)
    yield cluster
    cluster.die()
    for engine in Engine.objects.all():
        processes.end(VARIABLE, mark(engine))


def mark(engine: Engine) -> str:
    return places.of_this_host().mark(engine.submission_id)


def wanted(engine: Engine) -> Engine:
    services.start(engine, by="test")
    return engine


def ready(cluster: FakeCluster, name: str = "tiny", **fields: Any) -> Engine:
    return drive(wanted(make_engine(name, **fields)), cluster, until=State.READY)


def endpoint_of(engine: Engine) -> Endpoint:
    return Endpoint.objects.get(engine=engine)


def test_from_a_wish_to_ready_and_back_to_nothing(cluster: FakeCluster) -> None:
    profile = ConfigProfile.objects.create(name="policy", upstream_model="qwen")
    judge = ConfigProfile.objects.create(name="judge")
    engine = make_engine(drain_seconds=1)
    engine.profiles.add(profile, judge)
    engine = drive(wanted(engine), cluster, until=State.READY)

    assert history(engine) == ["pending", "starting", "ready"]
    assert cluster.launched == [f"engine-{engine.pk}-1"]
    assert engine.generation == 1
    endpoint = endpoint_of(engine)
    assert (endpoint.name, endpoint.base_url, endpoint.api_key) == ("tiny", engine.base_url, engine.api_key)
    assert (endpoint.health, endpoint.max_model_len) == ("healthy", 2048)
    assert endpoint.served_models == ["judge", "qwen"]
    assert set(endpoint.profiles.all()) == {profile, judge}
    assert processes.marked(VARIABLE, mark(engine))
    temp = places.of_this_host().temp / engine.submission_id
    assert temp.is_dir()

    services.stop(engine, by="test")
    assert visit(engine, cluster).state == State.STOPPING
    draining = endpoint_of(engine)
    assert (draining.draining, draining.health) == (True, "healthy")
    assert visit(engine, cluster).phase == "running answers may go on for up to 1 s"
    assert cluster.view(engine.submission_id).state.active
    port = int(engine.base_url.split(":")[2].removesuffix("/v1"))
    engine = drive(engine, cluster, until=State.STOPPED)

    assert history(engine)[3:] == ["stopping", "stopped"]
    assert processes.marked(VARIABLE, mark(engine)) == []
    assert processes.port_is_free("127.0.0.1", port)
    assert not temp.exists()
    gone = endpoint_of(engine)
    assert (gone.health, gone.draining) == ("unhealthy", False)
    assert gone.health_reason == "Engine tiny is stopped. Nothing is left of it."
    assert (engine.base_url, engine.api_key, engine.phase) == ("", "", "")
    assert set(gone.profiles.all()) == {profile, judge}


def test_the_log_is_kept_without_secrets_for_its_owner_alone(cluster: FakeCluster) -> None:
    env = {"HF_TOKEN": "hf-not-like-a-token", "FAKE_LOG": "token hf-not-like-a-token\\nlast line"}
    engine = ready(cluster, env=env)
    key = engine.api_key
    services.stop(engine, by="test")
    engine = drive(engine, cluster, until=State.STOPPED)
    kept = places.of_this_host().log("tiny", 1)
    assert kept.read_text() == "started with key [redacted]\ntoken [redacted]\nlast line\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert key not in engine.log_tail
    assert engine.log_tail.splitlines()[-1] == "last line"


def test_a_start_shows_its_phase(cluster: FakeCluster) -> None:
    log = "(Worker pid=1) INFO 11-21 08:26:23 [x.py:1] Starting to load model org/model..."
    engine = wanted(make_engine(env={"FAKE_LOG": log, "FAKE_START_SECONDS": "600"}))
    engine = drive(engine, cluster, until=lambda row: row.phase == "loading the model")
    assert engine.state == State.STARTING
    services.stop(engine, by="test")
    assert drive(engine, cluster, until=State.STOPPED).generation == 1


def test_an_engine_that_generates_nothing_is_not_ready(cluster: FakeCluster) -> None:
    engine = wanted(make_engine(env={"FAKE_MUTE": "1"}))
    engine = drive(engine, cluster, until=lambda row: "no tokens today" in row.phase)
    assert engine.state == State.STARTING
    assert not Endpoint.objects.exists()


def test_a_start_that_takes_too_long_fails_and_is_cleared_away(cluster: FakeCluster) -> None:
    engine = wanted(make_engine(env={"FAKE_START_SECONDS": "600"}, restart_policy=Engine.RestartPolicy.NEVER))
    engine = drive(engine, cluster, until=State.STARTING)
    late = timezone.now() + dt.timedelta(seconds=61)
    assert reconcile.reconcile_engine(engine.pk, cluster, now=late) is True
    engine.refresh_from_db()
    assert engine.state == State.FAILED
    assert engine.state_reason.startswith("Not ready after 60 s")
    drive(engine, cluster, until=lambda row: not processes.marked(VARIABLE, mark(row)))
    assert not cluster.view(engine.submission_id).state.active


def test_a_crash_at_the_start_is_recorded_with_its_cause(cluster: FakeCluster) -> None:
    log = "ERROR 11-21 08:26:15 [core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."
    engine = wanted(make_engine(env={"FAKE_LOG": log, "FAKE_EXIT": "1"}))
    engine = drive(engine, cluster, until=State.FAILED)
    assert engine.state_reason.startswith("The process ended with exit code 1. The GPU's memory does not suffice")
    assert "Tried to allocate 2 GiB" in engine.log_tail
    event = engine.events.get(new=State.FAILED)
    assert event.generation == 1
    assert "Tried to allocate 2 GiB" in event.log_tail
    assert engine.failures == 1


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
    assert cluster.launched == [f"engine-{engine.pk}-1", f"engine-{engine.pk}-2"]
    assert endpoint_of(engine).pk == endpoint.pk
    assert endpoint_of(engine).health == "healthy"
    assert endpoint_of(engine).base_url == engine.base_url != first_url


def test_after_too_many_failures_it_stays_failed_until_it_is_started_again(cluster: FakeCluster) -> None:
    engine = wanted(make_engine(env={"FAKE_EXIT": "7"}, max_restarts=1))
    now = timezone.now()
    for _ in range(60):
        now += dt.timedelta(seconds=400)
        reconcile.reconcile_engine(engine.pk, cluster, now=now)
        time.sleep(0.02)
    engine.refresh_from_db()
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


def test_a_stop_is_not_believed_before_the_last_process_is_gone(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_CHILD": "1"})
    services.stop(engine, by="test")
    seen_left = []

    def stopped(row: Engine) -> bool:
        if row.state == State.STOPPING:
            seen_left.append(row.phase)
        return row.state == State.STOPPED

    engine = drive(engine, cluster, until=stopped)
    assert processes.marked(VARIABLE, mark(engine)) == []
    assert any("processes are left" in phase for phase in seen_left)


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
    assert cluster.launched == [f"engine-{engine.pk}-1"]


def test_a_worker_that_dies_before_the_submission_loses_nothing(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    visit(engine, cluster)
    cluster.ensure()
    engine = Engine.objects.get()
    assert reconcile.claim(engine, cluster, cluster.nodes()) is True  # and then it died
    claimed = Engine.objects.get()
    engine = drive(engine, cluster, until=State.READY)
    assert (engine.generation, engine.base_url) == (1, claimed.base_url)


def test_reconcilers_that_race_launch_once(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    start = threading.Barrier(4)

    def race() -> None:
        start.wait()
        deadline = time.monotonic() + 20
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
    assert cluster.launched == [f"engine-{engine.pk}-1"]
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
    submission = f"engine-{engine.pk}-1"
    assert reconcile.reconcile_engine(engine.pk, cluster, now=timezone.now()) is False
    assert cluster.launched == [submission]
    deadline = time.monotonic() + 5
    while cluster.view(submission).state.active:
        assert time.monotonic() < deadline


def test_settings_that_went_bad_are_refused_before_anything_is_launched(cluster: FakeCluster) -> None:
    engine = wanted(make_engine())
    Engine.objects.update(vllm_serve_kwargs={"port": 1, "data_parallel_size": 1})
    engine = drive(engine, cluster, until=State.FAILED)
    assert "port cannot be set: Roundhouse chooses a free port." in engine.state_reason
    assert "tensor_parallel_size is missing" in engine.state_reason
    assert (cluster.launched, engine.generation) == ([], 0)
    later = timezone.now() + dt.timedelta(hours=1)
    assert reconcile.reconcile_engine(engine.pk, cluster, now=later) is False
    services.stop(engine, by="test")
    assert drive(engine, cluster, until=State.STOPPED).generation == 0


def test_a_shortage_of_gpus_is_a_visible_wait(cluster: FakeCluster) -> None:
    kwargs = {"data_parallel_size": 2, "tensor_parallel_size": 4, "pipeline_parallel_size": 1}
    engine = wanted(make_engine(device=Engine.Device.CUDA, vllm_serve_kwargs=kwargs))
    engine = drive(engine, cluster, until=lambda row: bool(row.phase))
    assert (engine.state, engine.phase) == (State.PENDING, "It needs 8 GPUs; the cluster has 0.")
    cluster.gpus = 8
    assert drive(engine, cluster, until=State.READY).phase == ""


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


def test_an_endpoint_that_was_deleted_comes_back(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    endpoint_of(engine).delete()
    engine = visit(engine, cluster)
    assert engine.state == State.READY
    assert endpoint_of(engine).base_url == engine.base_url


def test_an_endpoint_registered_by_hand_keeps_its_name(cluster: FakeCluster) -> None:
    mine = Endpoint.objects.create(name="tiny", base_url="http://10.0.0.1:8000/v1")
    engine = ready(cluster)
    assert endpoint_of(engine).name == "tiny-2"
    mine.refresh_from_db()
    assert mine.base_url == "http://10.0.0.1:8000/v1"


def test_an_engine_that_is_wanted_again_while_it_stops_stops_first(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    services.stop(engine, by="test")
    engine = visit(engine, cluster)
    services.start(engine, by="test")
    engine = drive(engine, cluster, until=lambda row: row.state == State.READY and row.generation == 2)
    assert history(engine)[3:] == ["stopping", "stopped", "pending", "starting", "ready"]


def test_an_engine_that_is_not_there_any_more_is_no_error(cluster: FakeCluster) -> None:
    assert reconcile.reconcile_engine(12345, cluster, now=timezone.now()) is False


def test_two_engines_run_side_by_side(cluster: FakeCluster) -> None:
    first, second = ready(cluster, name="first"), ready(cluster, name="second")
    assert first.base_url != second.base_url
    assert first.api_key != second.api_key


def test_shutdown_ends_everything_and_keeps_the_wishes(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_CHILD": "1"})
    starting = drive(wanted(make_engine("slow", env={"FAKE_START_SECONDS": "600"})), cluster, until=State.STARTING)
    pending = visit(wanted(make_engine("waiting")), cluster)
    failed = drive(wanted(make_engine("failed", env={"FAKE_EXIT": "1"})), cluster, until=State.FAILED)
    begun = time.monotonic()
    assert reconcile.shutdown_local(cluster) == []
    assert time.monotonic() - begun < 12
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


def test_a_joined_cluster_is_left_alone_by_a_shutdown(cluster: FakeCluster) -> None:
    cluster.local = False
    engine = ready(cluster)
    assert reconcile.shutdown_local(cluster) == []
    assert visit(engine, cluster).state == State.READY


def test_an_unused_local_cluster_is_taken_down_after_a_while(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    now = timezone.now()
    reconcile.take_down_unused(cluster, now=now + dt.timedelta(hours=1))
    assert cluster.up
    services.stop(engine, by="test")
    drive(engine, cluster, until=State.STOPPED)
    reconcile.take_down_unused(cluster, now=timezone.now())
    assert cluster.up
    reconcile.take_down_unused(cluster, now=timezone.now() + dt.timedelta(seconds=61))
    assert not cluster.up
