"""The same with a real vLLM on CPU: its parts are killed, and it is stopped."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos_launcher.site import SIZES, Site, ask, kill
from tests.end_to_end.host import is_mapped, shared_memory

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM in this environment"),
    pytest.mark.timeout(3000),
]

LOAD_SECONDS = 600
CORE = "VLLM::EngineCore"


def core(site: Site) -> int:
    """Return vLLM's engine core."""
    [pid] = [pid for pid, line in site.processes("real").items() if line.startswith(CORE)]
    return pid


def make(site: Site) -> None:
    model = site.host.data_dir / "models" / "a-tiny-model"
    if not Path(model).exists():
        subprocess.run([sys.executable, "-m", "controlplane.tiny_model", str(model)], check=True, capture_output=True)
    site.make(
        "real",
        model=str(model),
        ray_worker_py_executable="",
        vllm_serve_kwargs={**SIZES, "max_model_len": 512, "enforce_eager": True},
        restart_policy="never",
        profiles=["real"],
        startup_timeout_seconds=LOAD_SECONDS,
    )


def test_a_real_vllm_dies_in_parts_comes_back_and_stops(site: Site) -> None:
    before = shared_memory()
    site.api("POST", "profiles/", {"name": "real"})

    make(site)
    site.start("real")
    site.wait_for("real", "ready", LOAD_SECONDS)
    assert ask(site, "real", max_output_tokens=4).status_code == 200
    # What is no argument is refused by the parser of this very vLLM, which was asked before the launch at the latest.
    wrong = {"vllm_serve_kwargs": {**SIZES, "max_num_sequs": 8}}
    assert "did you mean max_num_seqs?" in str(site.api("PATCH", "engines/real/", wrong, status=400))
    assert "engine core dies" in site.notices("real", kill(core(site)))["state_reason"]

    site.start("real")
    site.wait_for("real", "ready", LOAD_SECONDS)
    assert "signal 9" in site.notices("real", kill(site.server("real")))["state_reason"]

    site.start("real")  # which ends the core that was left
    site.wait_for("real", "ready", LOAD_SECONDS)
    assert ask(site, "real", max_output_tokens=4).status_code == 200
    with site.within(10, "a stop without a drain"):
        site.api("POST", "engines/real/stop/")
        site.wait_for("real", "stopped")
    assert [name for name in shared_memory() - before if not is_mapped(f"/dev/shm/{name}")] == []
