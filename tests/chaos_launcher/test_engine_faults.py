"""Engines that are killed, hang, run out of memory, are slow or lose their port."""

import os
import signal
import socket
from urllib.parse import urlsplit

import psutil
import pytest

from tests.chaos_launcher.site import Site, kill
from tests.fakes.engine_python import IGNORE_TERM

OUT_OF_MEMORY = (
    "(EngineCore pid=7) ERROR 11-21 08:26:15 [core.py:133] torch.OutOfMemoryError: CUDA out of memory."
    " Tried to allocate 2.00 GiB.\\nRuntimeError: Engine core initialization failed."
)
REFUSED = "api_server.py: error: unrecognized arguments: --max-modle-len=5"


def test_a_killed_engine_comes_back_by_itself_and_what_it_left_is_ended(site: Site) -> None:
    first = site.ready("killed", env={"FAKE_CHILD": "1"})
    [child] = [pid for pid, line in site.processes("killed").items() if IGNORE_TERM in line]
    failed = site.notices("killed", kill(site.server("killed")))
    assert failed["state_reason"].startswith("The process was killed by signal 9 (SIGKILL")
    assert "started with key [redacted]" in failed["log_tail"]
    second = site.wait_for("killed", "ready")  # after the back-off of ten seconds
    assert second["generation"] == 2
    assert second["base_url"] != first["base_url"]
    assert site.health("killed") == "healthy"
    assert not psutil.pid_exists(child)
    assert site.events("killed")[3]["reason"] == failed["state_reason"]


def test_a_hung_engine_leaves_its_pools_and_comes_back_when_it_goes_on(site: Site) -> None:
    site.ready("hung")
    server = site.server("hung")
    hung = site.notices("hung", lambda: os.kill(server, signal.SIGSTOP), "unhealthy")
    assert hung["state_reason"] == "No answer within 3 s."
    os.kill(server, signal.SIGCONT)
    assert site.wait_for("hung", "ready", 10)["generation"] == 1
    assert site.health("hung") == "healthy"


def test_a_hung_engine_is_stopped_all_the_same(site: Site) -> None:
    site.ready("stuck")
    os.kill(site.server("stuck"), signal.SIGSTOP)
    with site.within(10, "a stop without a drain"):
        site.api("POST", "engines/stuck/stop/")
        site.wait_for("stuck", "stopped")


@pytest.mark.parametrize(
    ("log", "code", "said"),
    [
        (OUT_OF_MEMORY, "1", "lower gpu_memory_utilization or max_model_len"),
        (REFUSED, "2", "vLLM does not know an argument or its value: check vllm_serve_kwargs."),
    ],
    ids=["out of memory", "argument refused"],
)
def test_an_engine_that_ends_at_its_start_says_why_in_plain_words(site: Site, log: str, code: str, said: str) -> None:
    site.make("ends", env={"FAKE_LOG": log, "FAKE_EXIT": code}, restart_policy="never")
    site.start("ends")
    failed = site.wait_for("ends", "failed")
    assert said in failed["state_reason"]
    [attempt] = site.api("GET", "engines/ends/attempts/")
    assert said in attempt["cause"]


def test_a_start_that_takes_too_long_fails_at_its_deadline(site: Site) -> None:
    site.make("slow", env={"FAKE_START_SECONDS": "600"}, startup_timeout_seconds=10, restart_policy="never")
    site.start("slow")
    site.wait_for("slow", "starting")
    with site.within(20, "noticing a deadline of 10 s"):
        failed = site.wait_for("slow", "failed")
    assert failed["state_reason"].startswith("Not ready after 10 s")


def test_a_port_that_someone_else_was_faster_to_is_given_up_for_another(site: Site) -> None:
    site.make("racer", env={"FAKE_START_SECONDS": "3"}, restart_policy="never")
    site.start("racer")
    claimed = site.wait("racer", lambda row: bool(row["base_url"]))
    port = urlsplit(claimed["base_url"]).port or 0
    with socket.create_server(("127.0.0.1", port)):
        ready = site.wait_for("racer", "ready")
        assert ready["generation"] == 2
        assert ready["failures"] == 0
        assert urlsplit(ready["base_url"]).port != port
    assert [row["reason"][:30] for row in site.events("racer") if row["new"] == "failed"] == [
        "Another program took its port."
    ]
