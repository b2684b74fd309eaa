"""Edits of a running engine, restarts that apply them one engine after the other, and deletion that stops first."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from endpoints.models import ConfigProfile, Endpoint
from launcher import processes, queries, reconcile, services
from launcher.models import Engine
from launcher.states import Desired, State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import VARIABLE, drive, endpoint_of, history, make_engine, mark, ready, visit, wanted

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_edit_of_a_running_engine_is_named_and_applied_by_a_restart(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    profile = ConfigProfile.objects.create(name="judge")
    assert queries.changed_since_launch(engine) == []
    engine.profiles.add(profile)
    engine.vllm_serve_kwargs |= {"max_model_len": 1024}
    engine.max_restarts = 1  # no launch reads it
    engine.save()
    assert queries.changed_since_launch(Engine.objects.get()) == ["vllm_serve_kwargs", "profiles"]
    assert visit(engine, cluster).generation == 1

    assert services.restart(engine, by="test") is True
    assert services.restart(engine, by="test") is False
    assert Engine.objects.get().restart_asked
    engine = drive(engine, cluster, until=lambda row: row.generation == 2 and row.state == State.READY)
    assert history(engine)[3:] == ["stopping", "stopped", "pending", "starting", "ready"]
    assert engine.events.get(new=State.STOPPING).reason == "A restart was asked for."
    assert queries.changed_since_launch(engine) == []
    assert "--max-model-len=1024" in cluster.specs[engine.submission_id].argv
    assert not engine.restart_asked
    assert engine.settled
    assert visit(engine, cluster).generation == 2


def test_a_restart_of_an_engine_that_does_not_run_starts_it(cluster: FakeCluster) -> None:
    engine = make_engine()
    assert services.restart(engine, by="test") is True
    assert engine.desired_state == Desired.RUNNING
    failed = make_engine("failed", state=State.FAILED, desired_state=Desired.RUNNING, failures=3)
    assert services.restart(failed, by="test") is True
    assert failed.failures == 0
    waiting = make_engine("waiting", state=State.PENDING, desired_state=Desired.RUNNING)
    assert services.restart(waiting, by="test") is False


def test_a_restart_with_settings_that_cannot_be_launched_is_refused(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    engine.vllm_serve_kwargs = {"port": 1}
    with pytest.raises(services.EngineConfigError):
        services.restart(engine, by="test")
    assert not Engine.objects.get().restart_asked


def test_engines_of_one_profile_restart_one_after_the_other(cluster: FakeCluster) -> None:
    profile = ConfigProfile.objects.create(name="policy")
    engines = [wanted(make_engine(name)) for name in ("first", "second", "third")]
    for engine in engines:
        engine.profiles.add(profile)
    apart = ready(cluster, name="apart")
    for engine in engines:
        drive(engine, cluster, until=State.READY)
    for engine in (*engines, apart):
        services.restart(Engine.objects.get(pk=engine.pk), by="test")
    assert visit(apart, cluster).state == State.STOPPING
    assert visit(engines[1], cluster).phase == "its restart waits for that of first"

    least, deadline = 3, time.monotonic() + 120
    while Engine.objects.filter(profiles=profile, generation=2, state=State.READY).count() < 3:
        for engine in engines:
            visit(engine, cluster)
        least = min(least, Endpoint.objects.filter(profiles=profile, health="healthy", draining=False).count())
        assert time.monotonic() < deadline
    assert least == 2


def test_sessions_leave_an_engine_that_stops_for_another_one_while_its_answers_go_on(cluster: FakeCluster) -> None:
    shared, own = (ConfigProfile.objects.create(name=name, upstream_model="m") for name in ("shared", "own"))
    first, second = (wanted(make_engine(name, drain_seconds=60)) for name in ("first", "second"))
    for engine in (first, second):
        engine.profiles.add(shared)
        drive(engine, cluster, until=State.READY)
    services.restart(Engine.objects.get(pk=first.pk), by="test")
    seen = drive(first, cluster, until=lambda row: row.state == State.STOPPING and bool(row.phase))
    assert seen.phase == "running answers may go on for up to 60 s"
    left = endpoint_of(first)
    assert (left.health, left.health_reason, left.draining) == ("unhealthy", "Engine first is stopping.", True)
    assert cluster.view(seen.submission_id).state.active

    services.stop(Engine.objects.get(pk=second.pk), by="test")  # nothing is left to go to
    assert visit(second, cluster).state == State.STOPPING
    assert (endpoint_of(second).health, endpoint_of(second).draining) == ("healthy", True)

    Engine.objects.update(drain_seconds=0)
    drive(first, cluster, until=lambda row: row.generation == 2 and row.state == State.READY)
    back = endpoint_of(first)
    assert (back.health, back.draining) == ("healthy", False)
    drive(second, cluster, until=State.STOPPED)
    services.start(Engine.objects.get(pk=second.pk), by="test")
    drive(second, cluster, until=State.READY)
    back.profiles.add(own)  # which has no other
    services.stop(Engine.objects.get(pk=first.pk), by="test")
    visit(first, cluster)
    assert (endpoint_of(first).health, endpoint_of(first).draining) == ("healthy", True)


def test_a_restart_that_fails_keeps_the_others_as_they_are(cluster: FakeCluster) -> None:
    profile = ConfigProfile.objects.create(name="policy")
    first, second = (wanted(make_engine(name)) for name in ("first", "second"))
    for engine in (first, second):
        engine.profiles.add(profile)
        drive(engine, cluster, until=State.READY)
    bad = first.vllm_serve_env_vars | {"FAKE_EXIT": "1"}
    Engine.objects.filter(pk=first.pk).update(vllm_serve_env_vars=bad)
    for engine in (first, second):
        services.restart(Engine.objects.get(pk=engine.pk), by="test")
    for failures in (1, 2, 3):
        drive(first, cluster, until=failed(failures))
        seen = visit(second, cluster)
        assert (seen.state, seen.phase) == (State.READY, "its restart waits for that of first")
        Engine.objects.filter(pk=first.pk).update(state_since=timezone.now() - timedelta(hours=1))  # the back-off

    Engine.objects.filter(pk=first.pk).update(vllm_serve_env_vars=first.vllm_serve_env_vars)
    services.restart(Engine.objects.get(pk=first.pk), by="test")
    drive(first, cluster, until=State.READY)
    drive(second, cluster, until=lambda row: row.generation == 2 and row.state == State.READY)
    assert list(Engine.objects.values_list("restart_of", flat=True)) == [None, None]


def test_a_failed_restart_that_was_given_up_is_in_nobodys_way(cluster: FakeCluster) -> None:
    profile = ConfigProfile.objects.create(name="policy")
    given_up = make_engine("first", state=State.STOPPED, restart_of=1, generation=3)
    second = ready(cluster, name="second")
    for engine in (given_up, second):
        engine.profiles.add(profile)
    services.restart(second, by="test")
    assert visit(second, cluster).state == State.STOPPING


def test_an_engine_that_is_to_go_is_stopped_and_then_deleted(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    label = mark(engine)
    assert services.stop_and_delete(engine, by="test") is True
    assert services.stop_and_delete(engine, by="test") is False
    deadline = time.monotonic() + 60
    while Engine.objects.exists():
        assert time.monotonic() < deadline, Engine.objects.get().phase
        visit_if_there(engine, cluster)
    assert not Endpoint.objects.exists()
    assert processes.marked(VARIABLE, label) == []


def test_a_start_keeps_an_engine_that_was_to_go(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    services.stop_and_delete(engine, by="test")
    visit(engine, cluster)
    services.start(engine, by="test")
    drive(engine, cluster, until=State.READY)
    assert not Engine.objects.get().delete_asked


def test_a_stopped_engine_that_is_to_go_is_visited_until_it_is_gone(cluster: FakeCluster) -> None:
    engine = make_engine(delete_asked=True)
    assert list(queries.to_visit()) == [engine]
    visit_if_there(engine, cluster)
    assert not Engine.objects.exists()


def failed(times: int) -> Callable[[Engine], bool]:
    return lambda row: row.state == State.FAILED and row.failures == times


def visit_if_there(engine: Engine, cluster: FakeCluster) -> None:
    reconcile.reconcile_engine(engine.pk, cluster, now=timezone.now())
