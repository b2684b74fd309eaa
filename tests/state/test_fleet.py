"""The cluster as people look at it, over the fake one: who holds what, who waits, what nobody owns."""

from io import StringIO

import pytest
from django.core.management import call_command

from launcher import fleet, places, processes, services
from launcher.cluster import JobState
from launcher.fleet import Holder
from launcher.models import Engine, installation
from launcher.states import State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import VARIABLE, drive, make_engine, mark, ready, wanted

pytestmark = pytest.mark.django_db(transaction=True)

EIGHT = {"data_parallel_size": 1, "tensor_parallel_size": 8, "pipeline_parallel_size": 1}


def test_who_holds_what_and_who_waits(cluster: FakeCluster) -> None:
    cluster.local, cluster.others = False, {"127.0.0.2": 8, "127.0.0.3": 8}
    first = ready(cluster, name="first", device=Engine.Device.CUDA, vllm_serve_kwargs=EIGHT)
    cluster.held = {"127.0.0.2": {first.submission_id: 6}, "127.0.0.3": {"": 1, "someone": 2}}
    second = wanted(make_engine("second", device=Engine.Device.CUDA, vllm_serve_kwargs=EIGHT))
    drive(second, cluster, until=lambda row: bool(row.phase))
    seen = fleet.look(cluster)
    assert (seen.local, seen.running, seen.trouble, seen.gpus, seen.free_gpus) == (False, True, "", 16, 5)
    assert [(node.address, node.free_gpus) for node in seen.nodes] == [
        ("127.0.0.1", 0),
        ("127.0.0.2", 0),
        ("127.0.0.3", 5),
    ]
    assert seen.nodes[1].holders == [Holder("first", 6, first.pk, True), Holder("first", 2, first.pk, False)]
    assert seen.nodes[2].holders == [Holder("others", 1, None, True), Holder("someone", 2, None, True)]
    assert [(each.engine, each.reason[:13]) for each in seen.waiting] == [("second", "It needs 8 GP")]
    assert seen.orphans == []


def test_a_cluster_that_is_silent_says_why(cluster: FakeCluster) -> None:
    cluster.silent = True
    seen = fleet.look(cluster)
    assert (seen.running, seen.trouble, seen.nodes) == (False, "The cluster does not answer.", [])


def test_what_an_engine_that_was_forgotten_left_is_listed_and_reaped(cluster: FakeCluster) -> None:
    engine, kept = ready(cluster, name="lost"), ready(cluster, name="kept")
    submission_id, label = engine.submission_id, mark(engine)
    Engine.objects.filter(pk=engine.pk).update(state=State.STOPPED, desired_state="stopped", base_url="")
    (orphan,) = fleet.orphans(cluster)
    assert (orphan.submission_id, orphan.engine, orphan.attempt) == (submission_id, "lost", 1)
    assert orphan.job == JobState.RUNNING
    assert len(orphan.processes) == 1

    pk = engine.pk
    temp = places.of_this_host().temp / submission_id
    assert temp.is_dir()
    Engine.objects.get(pk=pk).delete()
    assert [each.engine for each in fleet.orphans(cluster)] == [f"engine {pk}, which was deleted"]
    reaped, _ = fleet.reap(cluster)
    assert [each.submission_id for each in reaped] == [submission_id]
    assert processes.wait_until_gone(VARIABLE, label, seconds=60) == []
    assert not temp.exists()
    assert fleet.orphans(cluster) == []
    assert fleet.reap(cluster) == ([], [])
    assert processes.marked(VARIABLE, mark(kept))


def test_gpus_that_an_attempt_which_is_over_still_holds_are_an_orphan(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    cluster.held = {"127.0.0.1": {engine.submission_id: 2, f"engine-{engine.pk}-7-{installation()}": 3, "": 1}}
    (orphan,) = fleet.orphans(cluster)
    assert (orphan.engine, orphan.attempt, orphan.job, orphan.gpus) == ("tiny", 7, None, 3)
    assert fleet.reap(cluster)[1] == [orphan]  # Ray takes them back when it knows that the job is over


def test_a_job_of_another_installation_is_none_of_ours(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    stranger = f"engine-{engine.pk}-7-0123abcd"
    cluster.jobs_by_id[stranger] = cluster.jobs_by_id[engine.submission_id]
    assert fleet.orphans(cluster) == []
    del cluster.jobs_by_id[stranger]


def test_an_engine_that_stops_by_itself_leaves_no_orphan(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_CHILD": "1"})
    services.stop(engine, by="test")
    while Engine.objects.get().state != State.STOPPED:
        drive(engine, cluster, until=lambda _: True)
        assert fleet.orphans(cluster) == []


def test_the_command_lists_and_reaps_what_runs_here(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    label, told = mark(engine), StringIO()
    Engine.objects.update(state=State.STOPPED, desired_state="stopped", base_url="")
    call_command("orphans", stdout=told)
    assert f"{engine.submission_id}  tiny, launch 1: no Ray job; " in told.getvalue()
    call_command("orphans", "--reap", stdout=told)
    assert processes.marked(VARIABLE, label) == []
    call_command("orphans", stdout=told)
    assert told.getvalue().endswith("There are no orphans.\n")
    assert places.of_this_host().mark("")
