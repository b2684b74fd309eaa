"""The reconciler over a full fake cluster whose jobs are real processes, real ports and real HTTP."""

import datetime as dt
import shutil
import stat

import pytest
from django.conf import settings
from django.utils import timezone

from endpoints.models import ConfigProfile, Endpoint
from launcher import places, processes, reconcile, services
from launcher.models import Engine
from launcher.states import State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import VARIABLE, drive, endpoint_of, history, job_id, make_engine, mark, ready, visit, wanted

pytestmark = pytest.mark.django_db(transaction=True)


def test_from_a_wish_to_ready_and_back_to_nothing(cluster: FakeCluster) -> None:
    profile = ConfigProfile.objects.create(name="policy", upstream_model="qwen")
    judge = ConfigProfile.objects.create(name="judge")
    engine = make_engine(drain_seconds=30)
    engine.profiles.add(profile, judge)
    engine = drive(wanted(engine), cluster, until=State.READY)

    assert history(engine) == ["pending", "starting", "ready"]
    assert cluster.launched == [job_id(engine, 1)]
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
    assert visit(engine, cluster).phase == "running answers may go on for up to 30 s"
    assert cluster.view(engine.submission_id).state.active
    port = int(engine.base_url.split(":")[2].removesuffix("/v1"))
    Engine.objects.update(state_since=timezone.now() - dt.timedelta(seconds=30))  # their time is over
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
    env = {"FAKE_LOG": "token hf-not-like-a-token\\nlast line"}
    engine = ready(cluster, env=env, hf_token="hf-not-like-a-token")
    assert cluster.specs[engine.submission_id].secrets["HF_TOKEN"] == "hf-not-like-a-token"
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
    blobs = settings.DATA_DIR.models / "hub" / "models--org--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "one.incomplete").write_bytes(b"x" * 2_000_000)
    engine = drive(engine, cluster, until=lambda row: row.phase == "downloading weights, 2.0 MB")
    assert engine.progress["done"] == 2_000_000
    shutil.rmtree(settings.DATA_DIR.models / "hub")
    services.stop(engine, by="test")
    engine = drive(engine, cluster, until=State.STOPPED)
    assert (engine.generation, engine.progress) == (1, {})


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
    assert (engine.state, engine.phase) == (State.PENDING, "It needs 2 x 4 GPUs; the cluster has none.")
    cluster.gpus = 8
    assert drive(engine, cluster, until=State.READY).phase == ""


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
