"""Hosts that share a database, each with a Ray of its own, which only it can see."""

import io

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from launcher import checks, places, services
from launcher.models import Engine
from launcher.reconcile import shutdown_local
from launcher.states import State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import drive, history, ready, visit

pytestmark = pytest.mark.django_db(transaction=True)


def run_elsewhere(engine: Engine) -> None:
    Engine.objects.filter(pk=engine.pk).update(ray_host="another-host")


def test_what_another_host_runs_is_left_alone(cluster: FakeCluster, settings: Settings) -> None:
    engine = ready(cluster)
    assert engine.ray_host == places.host_id() != ""
    assert checks.warnings(engine) == []
    before = history(engine)
    run_elsewhere(engine)
    jobs = dict(cluster.jobs_by_id)
    cluster.jobs_by_id.clear()  # nothing of it is to be seen from here
    services.stop(engine, by="test")
    engine = visit(engine, cluster)
    assert engine.state == State.READY
    assert shutdown_local(cluster) == []
    assert history(engine) == before
    (warning,) = checks.warnings(Engine.objects.get())
    assert "ROUNDHOUSE_RAY_ADDRESS" in warning
    assert "engines --take-over tiny" in warning
    settings.RAY_ADDRESS = "http://ray-head:8265"  # now all hosts see one cluster
    assert checks.warnings(Engine.objects.get()) == []
    cluster.jobs_by_id.update(jobs)


def test_on_a_cluster_that_all_have_joined_every_host_looks_after_every_engine(cluster: FakeCluster) -> None:
    cluster.local = False
    engine = ready(cluster)
    assert engine.ray_host == ""
    services.stop(engine, by="test")
    drive(engine, cluster, until=State.STOPPED)


def test_the_engines_of_a_host_that_is_gone_are_taken_over(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    with pytest.raises(CommandError, match="No other host runs an engine tiny"):
        call_command("engines", "--take-over", "tiny")
    run_elsewhere(engine)
    cluster.die()
    assert visit(engine, cluster).state == State.READY
    call_command("engines", "--take-over", "tiny", stdout=io.StringIO())
    engine = drive(engine, cluster, until=State.FAILED)
    assert engine.generation == 1
