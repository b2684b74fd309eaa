"""GPUs, nodes and ports: who gets them, who waits, and that nobody gets them twice."""

import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from launcher import queries, reconcile, services
from launcher.cluster import JobSpec
from launcher.models import Engine
from launcher.states import State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import drive, endpoint_of, make_engine, ready, visit, wanted

pytestmark = pytest.mark.django_db(transaction=True)


def sizes(ranks: int, gpus: int) -> dict[str, Any]:
    kwargs = {"data_parallel_size": ranks, "tensor_parallel_size": gpus, "pipeline_parallel_size": 1}
    return {"device": Engine.Device.CUDA, "vllm_serve_kwargs": kwargs}


@pytest.fixture
def joined(cluster: FakeCluster) -> FakeCluster:
    """A cluster of three nodes, which are this machine: a head without GPUs and two with eight each."""
    cluster.local = False
    cluster.others = {"127.0.0.2": 8, "127.0.0.3": 8}
    return cluster


def spec_of(cluster: FakeCluster, engine: Engine) -> JobSpec:
    return cluster.specs[engine.submission_id]


def test_an_engine_starts_on_the_node_that_has_room(joined: FakeCluster) -> None:
    joined.held = {"127.0.0.2": {"": 3}}
    engine = ready(joined, **sizes(2, 4))
    assert urlsplit(engine.base_url).hostname == "127.0.0.3"
    assert endpoint_of(engine).base_url == engine.base_url
    spec = spec_of(joined, engine)
    assert spec.node == "127.0.0.3"
    assert spec.env["VLLM_RAY_DP_PLACEMENT_NODE_IPS"] == "127.0.0.3"
    assert "--data-parallel-size-local=2" in spec.argv


def test_ranks_go_to_several_nodes(joined: FakeCluster) -> None:
    engine = ready(joined, **sizes(2, 8))
    assert engine.placement == {"ranks": [["127.0.0.2"], ["127.0.0.3"]], "size": 8, "local": 1}
    spec = spec_of(joined, engine)
    assert spec.env["VLLM_RAY_DP_PLACEMENT_NODE_IPS"] == "127.0.0.2,127.0.0.3"
    assert spec.env["VLLM_DP_MASTER_IP"] == "127.0.0.2"
    services.stop(engine, by="test")
    assert drive(engine, joined, until=State.STOPPED).placement == {}


def test_an_engine_on_cpu_takes_no_gpus(joined: FakeCluster) -> None:
    engine = ready(joined)
    assert (engine.placement, spec_of(joined, engine).node) == ({}, "127.0.0.1")


def test_an_engine_waits_for_another_one_of_ours_and_says_so(joined: FakeCluster) -> None:
    first = ready(joined, name="first", **sizes(2, 8))
    second = wanted(make_engine("second", **sizes(1, 4)))
    second = drive(second, joined, until=lambda row: bool(row.phase))
    said = "It needs 4 GPUs on one node; 127.0.0.2 has 0 of 8 free, 127.0.0.3 has 0 of 8 free."
    assert (second.state, second.phase) == (State.PENDING, said)
    services.stop(first, by="test")
    drive(first, joined, until=State.STOPPED)
    assert drive(second, joined, until=State.READY).phase == ""


def test_several_engines_share_a_node(joined: FakeCluster) -> None:
    engines = [ready(joined, name=f"e{number}", **sizes(1, 4)) for number in range(3)]
    hosts = [urlsplit(engine.base_url).hostname for engine in engines]
    assert hosts == ["127.0.0.2", "127.0.0.2", "127.0.0.3"]
    ports = {urlsplit(engine.base_url).port for engine in engines}
    assert len(ports) == 3


def test_engines_that_start_at_once_never_take_the_same_gpus(joined: FakeCluster) -> None:
    joined.ensure()
    engines = [wanted(make_engine(f"e{number}", **sizes(1, 4))) for number in range(6)]
    for engine in engines:
        visit(engine, joined)
    start = threading.Barrier(len(engines))

    def race(pk: int) -> None:
        start.wait()
        for _ in range(5):
            reconcile.reconcile_engine(pk, joined, now=timezone.now())
        connection.close()

    racers = [threading.Thread(target=race, args=(engine.pk,)) for engine in engines]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    claims = queries.claims()
    assert len(claims) == 4
    for node in joined.others:
        assert sum(claim.gpus.get(node, 0) for claim in claims) == 8
    waiting = Engine.objects.filter(base_url="")
    assert [row.state for row in waiting] == [State.PENDING] * 2


def test_a_failed_engine_gives_its_gpus_back_once_the_cluster_has(joined: FakeCluster) -> None:
    first = make_engine("first", **sizes(2, 8), env={"FAKE_EXIT": "3"}, restart_policy=Engine.RestartPolicy.NEVER)
    first = drive(wanted(first), joined, until=State.FAILED)
    joined.held = {"127.0.0.2": {first.submission_id: 8}}
    second = wanted(make_engine("second", **sizes(2, 8)))
    second = drive(second, joined, until=lambda row: bool(row.phase))
    assert "127.0.0.2 has 0 of 8 free, 127.0.0.3 has 8 of 8 free" in second.phase
    joined.held = {}
    drive(second, joined, until=State.READY)


def test_a_stop_is_not_believed_before_the_gpus_are_back(joined: FakeCluster) -> None:
    engine = ready(joined, **sizes(1, 8))
    joined.held = {"127.0.0.2": {engine.submission_id: 8}}
    services.stop(engine, by="test")
    engine = drive(engine, joined, until=lambda row: "GPUs" in row.phase)
    assert (engine.state, engine.phase) == (State.STOPPING, "processes are left: 8 GPUs on 127.0.0.2")
    joined.held = {}
    drive(engine, joined, until=State.STOPPED)


def test_a_port_that_another_program_was_faster_to_is_no_failure(cluster: FakeCluster) -> None:
    engine = wanted(make_engine(env={"FAKE_START_SECONDS": "1.5"}, restart_policy=Engine.RestartPolicy.NEVER))
    taken: list[int | None] = []
    with socket.socket() as thief:

        def take() -> None:
            port = urlsplit(Engine.objects.get().base_url).port
            taken.append(port)
            thief.bind(("127.0.0.1", port))
            thief.listen()
            cluster.after_submit = lambda: None

        cluster.after_submit = take
        engine = drive(engine, cluster, until=State.READY)
    assert (engine.generation, engine.failures) == (2, 0)
    assert urlsplit(engine.base_url).port not in taken
    failed = engine.events.get(new=State.FAILED)
    assert failed.reason.startswith("Another program took its port. The process ended with exit code 1.")
