"""Engines that take a request and hang: their requests are asked elsewhere. Slow ones are left alone."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from pytest_django import Settings

from endpoints.models import Endpoint
from responses_api.models import ResponseRecord, SessionMove
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import NO_TLS, Site, running, until
from tests.web.streams import ask

pytestmark = pytest.mark.django_db(transaction=True)

STALL_SECONDS = 1.5  # more than whoever works is kept waiting for by a busy machine


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    settings.STALL_SECONDS = STALL_SECONDS
    with running(engines=2) as started:
        yield started


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_an_engine_keeps_without_working_on_it_is_asked_elsewhere(site: Site, stream: bool) -> None:
    site.engines[0].script.append(Step(hang=True))
    answer = site.ask("hi", stream=stream, headers={"x-session-id": "s"})
    assert (answer.status_code, "echo:" in answer.text) == (200, True)
    assert ResponseRecord.objects.get().endpoint_name == "engine-1"
    assert "has read and generated nothing for 1.5 seconds" in SessionMove.objects.get().reason
    until(lambda: site.engines[0].requests[0].client_left)
    assert until(lambda: Endpoint.objects.get(name="engine-0").circuit_cause) == "stalled"
    assert site.ask(headers={"x-session-id": "new"}).headers["x-roundhouse-endpoint"] == "engine-1"


def test_whoever_is_slow_and_flows_is_never_given_up(site: Site) -> None:
    site.engines[0].always = Step(delay=4 * STALL_SECONDS)
    assert site.ask().headers["x-roundhouse-endpoint"] == "engine-0"
    site.engines[1].always = Step(delay=3 * STALL_SECONDS)
    assert ask(site).last["status"] == "completed"
    assert not SessionMove.objects.exists()
    assert not Endpoint.objects.exclude(circuit_cause="").exists()


@contextmanager
def engine_process() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An engine that is a process of its own, and where it is."""
    command = [sys.executable, "-m", "tests.fakes.scripted_vllm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().decode().strip()
        finally:
            process.kill()


def test_a_process_that_is_stopped_is_found_out_and_comes_back(site: Site) -> None:
    with engine_process() as (process, base_url):
        Endpoint.objects.filter(name="engine-0").update(base_url=base_url, api_key="")
        site.refresh()
        process.send_signal(signal.SIGSTOP)
        answer = site.ask(headers={"x-session-id": "s"})
        assert (answer.status_code, answer.headers["x-roundhouse-endpoint"]) == (200, "engine-1")
        assert "not even whether it is healthy" in SessionMove.objects.get().reason
        process.send_signal(signal.SIGCONT)
        until(lambda: httpx.get(f"{base_url}/models", verify=NO_TLS).status_code == 200)
        until(lambda: site.ask().headers["x-roundhouse-endpoint"] == "engine-0", seconds=60)
        assert site.ask(headers={"x-session-id": "s"}).headers["x-roundhouse-endpoint"] == "engine-1"


def test_whoever_has_no_other_engine_is_told_within_its_attempts(settings: Settings) -> None:
    settings.STALL_SECONDS = 0.3
    with running(max_attempts=1) as site:
        site.engine.always = Step(hang=True)
        began = time.monotonic()
        refused = site.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (504, "engine_timeout")
        assert time.monotonic() - began < 30
