"""Engines on a real Ray cluster of three nodes, with a stand-in that takes its GPUs as vLLM does."""

import datetime as dt
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from launcher import processes, services
from launcher.cluster import JobSpec
from launcher.models import Engine
from launcher.places import Places
from launcher.ray_cluster import NODE_LOST, RayCluster
from launcher.ray_head import LocalHead
from launcher.states import State
from tests.end_to_end.host import until
from tests.fakes.engine_on_ray import executable
from tests.fakes.ray_nodes import RayNodes, ray_nodes
from tests.state.engines import VARIABLE, drive, endpoint_of, make_engine, mark, wanted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900), pytest.mark.once]

A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
GPUS = {A: 4, B: 8, C: 8}
NOTICED_SECONDS = 15  # ten are promised, and some more for a machine that is busy; without the settings it takes 18


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with ray_nodes(GPUS) as nodes:
        yield nodes


@pytest.fixture
def cluster(nodes: RayNodes, tmp_path: Path) -> Iterator[RayCluster]:
    cluster = RayCluster(nodes.url, LocalHead(tmp_path, Places(root=tmp_path, logs=tmp_path / "logs")))
    yield cluster
    for engine in Engine.objects.all():
        cluster.stop(engine.submission_id)
        processes.end(VARIABLE, mark(engine))


def engine_of(tmp_path: Path, name: str, ranks: int, gpus: int, strategy: str) -> Engine:
    kwargs: dict[str, Any] = {
        "data_parallel_size": ranks,
        "tensor_parallel_size": gpus,
        "pipeline_parallel_size": 1,
    }
    engine = make_engine(
        name,
        vllm_serve_kwargs=kwargs,
        env={"VLLM_RAY_DP_PACK_STRATEGY": strategy},
        device=Engine.Device.CUDA,
        ray_worker_py_executable=executable(tmp_path),
    )
    return wanted(engine)


def taken(engine: Engine, cluster: RayCluster) -> list[str]:
    """Return what each rank got, as the engine itself says."""
    log = cluster.log(engine.submission_id)  # the kept copy may be a look older
    return [line.partition(": ")[2] for line in re.findall(r"^rank .*", log, flags=re.MULTILINE)]


def held(cluster: RayCluster) -> dict[str, dict[str, int]]:
    return {node.address: dict(node.held) for node in cluster.nodes() if node.held}


def until_ready(engine: Engine, cluster: RayCluster) -> Engine:
    return drive(engine, cluster, until=State.READY, seconds=150)


def until_stopped(engine: Engine, cluster: RayCluster) -> None:
    services.stop(engine, by="test")
    drive(engine, cluster, until=State.STOPPED, seconds=90)


def test_every_strategy_shares_and_waits_on_real_nodes(cluster: RayCluster, tmp_path: Path) -> None:
    assert {node.address: node.gpus for node in cluster.nodes()} == GPUS
    assert held(cluster) == {}

    # Strict: two ranks on one node, and the server beside them.
    strict = until_ready(engine_of(tmp_path, "strict", 2, 4, "strict"), cluster)
    assert taken(strict, cluster) == [f"4 GPUs on {B}"] * 2
    assert urlsplit(strict.base_url).hostname == B
    assert held(cluster) == {B: {strict.submission_id: 8}}
    part = cluster.log_after(strict.submission_id, 0)
    assert part is not None
    assert cluster.log(strict.submission_id).startswith(part.text)
    assert part.text.endswith("\n")
    assert cluster.log_after(strict.submission_id, part.place) is not None

    # Fill: what is left of two nodes, unequally.
    fill = until_ready(engine_of(tmp_path, "fill", 3, 4, "fill"), cluster)
    assert taken(fill, cluster) == [f"4 GPUs on {A}", f"4 GPUs on {C}", f"4 GPUs on {C}"]
    assert held(cluster)[C] == {fill.submission_id: 8}

    # Span: whole nodes of one size, of which there are none; it says so, and starts when there are.
    span = engine_of(tmp_path, "span", 1, 16, "span")
    span = drive(span, cluster, until=lambda row: row.phase.startswith("It needs"), seconds=60)
    assert span.state == State.PENDING
    said = f"in whole; {A} has 0 of 4 free, {B} has 0 of 8 free, {C} has 0 of 8 free."
    assert span.phase == f"It needs 16 GPUs on free nodes of one size, {said}"
    until_stopped(strict, cluster)
    until_stopped(fill, cluster)
    assert held(cluster) == {}
    span = until_ready(span, cluster)
    assert taken(span, cluster) == [f"8 GPUs on {B}, 8 GPUs on {C}"]
    assert held(cluster) == {B: {span.submission_id: 8}, C: {span.submission_id: 8}}
    until_stopped(span, cluster)
    assert held(cluster) == {}
    assert [job.state.active for job in cluster.jobs()] == [False] * 3


def test_gpus_of_other_peoples_tasks_are_not_free(cluster: RayCluster) -> None:
    code = (
        "import ray, time\n"
        "ray.init(address='auto', log_to_driver=False)\n"
        "ray.get(ray.remote(num_gpus=3)(lambda: time.sleep(600)).remote())"
    )
    job = JobSpec("somebody-else", [sys.executable, "-c", code], {})
    cluster.submit(job)
    until(
        lambda: [*held(cluster).values()] == [{"somebody-else": 3}],
        120,
        lambda: f"{held(cluster)}, {cluster.view('somebody-else')}",
    )
    cluster.stop("somebody-else")
    until(lambda: not held(cluster), 90, lambda: str(held(cluster)))


def test_a_node_that_is_lost_is_noticed_and_the_engine_goes_elsewhere(
    nodes: RayNodes, cluster: RayCluster, tmp_path: Path
) -> None:
    engine = until_ready(engine_of(tmp_path, "moves", 1, 8, "strict"), cluster)
    assert taken(engine, cluster) == [f"8 GPUs on {B}"]
    lost = time.monotonic()
    nodes.kill(B)
    engine = drive(
        engine, cluster, until=lambda row: row.state in {State.UNHEALTHY, State.FAILED}, seconds=NOTICED_SECONDS
    )
    assert endpoint_of(engine).health == "unhealthy"
    engine = drive(engine, cluster, until=State.FAILED, seconds=NOTICED_SECONDS)
    assert time.monotonic() - lost < NOTICED_SECONDS
    assert engine.state_reason.startswith(f"{NODE_LOST}: ")
    Engine.objects.update(state_since=timezone.now() - dt.timedelta(seconds=60))  # the back-off is over
    engine = until_ready(engine, cluster)
    assert (taken(engine, cluster), engine.generation) == ([f"8 GPUs on {C}"], 2)
    assert [node.address for node in cluster.nodes()] == [A, C]
    until_stopped(engine, cluster)
