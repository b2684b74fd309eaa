"""A whole Roundhouse on a Ray cluster of three nodes that asks for a token, set up as the how-to says."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos_launcher.site import SIZES, Site, kill
from tests.end_to_end.host import STOP_SECONDS, RoundhouseHost
from tests.fakes import engine_on_ray
from tests.fakes.ray_nodes import RayNodes, ray_nodes

A, B, C = "127.0.0.5", "127.0.0.6", "127.0.0.7"


@pytest.fixture
def nodes() -> Iterator[RayNodes]:
    with ray_nodes({A: 0, B: 8, C: 8}, secrets.token_hex(32)) as nodes:
        yield nodes


@pytest.fixture
def joined(nodes: RayNodes) -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="rhl-"))
    settings = {"ROUNDHOUSE_RAY_ADDRESS": nodes.url, **nodes.settings}
    host = RoundhouseHost(folder / "var", engine="none", settings=settings)
    try:
        host.start()
        host.wait_for("ready; Ctrl-C ends everything", 150)
        yield Site(host, dashboard=(nodes.url, nodes.token))
        assert host.stop() < STOP_SECONDS
        assert host.leftovers() == []
    finally:
        host.kill_if_running()
        shutil.rmtree(folder, ignore_errors=True)


def gpus(site: Site) -> dict[str, tuple[int, int]]:
    """Return how many GPUs each node has, and how many are free."""
    found = site.api("GET", "cluster/")
    assert not found["local"]
    assert found["trouble"] == ""
    return {node["address"]: (node["gpus"], node["free_gpus"]) for node in found["nodes"]}


def test_an_engine_outlives_its_control_plane_and_a_lost_node(joined: Site, nodes: RayNodes) -> None:
    assert gpus(joined) == {A: (0, 0), B: (8, 8), C: (8, 8)}
    joined.make(
        "large",
        device="cuda",
        vllm_serve_kwargs={**SIZES, "data_parallel_size": 2, "tensor_parallel_size": 4},
        ray_worker_py_executable=engine_on_ray.executable(joined.host.data_dir),
    )
    joined.start("large")
    ready = joined.wait_for("large", "ready")
    assert ready["base_url"].startswith(f"http://{B}:")
    assert gpus(joined) == {A: (0, 0), B: (8, 0), C: (8, 8)}

    # Ended politely, a Roundhouse leaves what runs on a cluster that is not its own, and finds it again.
    assert joined.host.stop() < STOP_SECONDS
    joined.host.start()
    joined.host.wait_for("ready; Ctrl-C ends everything", 150)
    again = joined.engine("large")
    assert (again["state"], again["generation"], again["base_url"]) == ("ready", 1, ready["base_url"])

    with joined.within(10, "noticing a lost node"):
        nodes.kill(B)
        failed = joined.wait_for("large", "failed", 10)
        assert joined.health("large") == "unhealthy"
    assert failed["state_reason"].startswith("The node that it ran on was lost")
    moved = joined.wait_for("large", "ready")
    assert moved["generation"] == 2
    assert moved["base_url"].startswith(f"http://{C}:")
    assert gpus(joined) == {A: (0, 0), C: (8, 0)}

    joined.notices("large", kill(joined.server("large")))
    joined.wait_for("large", "ready")
    joined.remove_all()
    assert joined.leftovers() == []
    assert gpus(joined) == {A: (0, 0), C: (8, 8)}
