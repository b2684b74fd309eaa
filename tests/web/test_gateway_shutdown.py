"""A server that is told to end: what runs has its time, what is new goes elsewhere, nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.db import connection

from controlplane.supervisor import programs
from endpoints.models import Endpoint
from responses_api.models import ResponseRecord, StoredResponse
from tests.fakes.scripted_vllm import Step
from tests.web.daphne_server import daphne
from tests.web.gateway_server import NO_TLS, Site, running, until
from tests.web.streams import ask

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def on_uvicorn(*, seconds: float, workers: int = 1, engines: int = 1) -> Iterator[tuple[Site, subprocess.Popen[bytes]]]:
    """A site served as in production, that has so many seconds to end."""
    with running(engines=engines) as site:
        site.server.stop()
        name = connection.settings_dict["NAME"]
        database = (
            f"sqlite:///{name}"
            if connection.vendor == "sqlite"
            else os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
        )
        environ = {
            **os.environ,
            "DATABASE_URL": database,
            "ROUNDHOUSE_DATA_DIR": str(settings.DATA_DIR.root),
            "ROUNDHOUSE_SHUTDOWN_SECONDS": str(seconds),
        }
        web = programs(host="127.0.0.1", port=site.server.port, workers=workers, data_dir=Path("unused"))[0]
        process = subprocess.Popen([sys.executable, *web.argv[1:]], env=environ, cwd=Path(settings.BASE_DIR))
        try:
            until(lambda: _status(site, "/readyz") == 200, seconds=180)
            yield site, process
        finally:
            process.kill()
            process.wait()


def _status(site: Site, path: str) -> int:
    """Return the status of a path at the server's root; 0 if nobody listens."""
    try:
        return httpx.get(site.server.origin + path, verify=NO_TLS).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("stream", [True, False])
def test_what_runs_has_its_time_and_what_is_new_is_refused(stream: bool) -> None:
    with on_uvicorn(seconds=20) as (site, process), ThreadPoolExecutor(1) as executor:
        assert _status(site, "/livez") == _status(site, "/readyz") == 200
        site.engine.always = Step(gap=1) if stream else Step(delay=6)
        asking = executor.submit(site.ask, "a b c d e f", stream=stream)
        until(lambda: site.engine.chats)
        process.send_signal(signal.SIGTERM)
        until(lambda: _status(site, "/readyz") == 503)
        assert _status(site, "/livez") == 200
        refused = site.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert refused.headers["retry-after"] == "5"
        answer = asking.result(60)
        assert answer.status_code == 200
        assert not stream or '"type":"response.completed"' in answer.text
        assert process.wait(60) == 0
    assert ResponseRecord.objects.get().status == "completed"


def test_whose_time_is_over_is_told_and_recorded_as_such() -> None:
    with on_uvicorn(seconds=0.5) as (site, process), ThreadPoolExecutor(2) as executor:
        site.engine.script.extend([Step(stall=True), Step(hang=True)])
        streaming = executor.submit(ask, site, "a b c d")
        until(lambda: site.engine.chats)
        whole = executor.submit(site.ask)
        until(lambda: len(site.engine.chats) == 2)
        process.send_signal(signal.SIGTERM)
        events = streaming.result(60).events
        assert events[-1]["type"] == "response.failed"
        assert "shutting down" in events[-1]["response"]["error"]["message"]
        assert (whole.result(60).status_code, whole.result().headers["retry-after"]) == (503, "5")
        assert process.wait(60) == 0
    assert {row.error_code for row in ResponseRecord.objects.all()} == {"shutting_down"}
    until(lambda: all(seen.client_left for seen in site.engine.requests))


def test_whoever_is_idle_ends_at_once_with_all_workers() -> None:
    with on_uvicorn(seconds=20, workers=2) as (site, process):
        assert {site.ask().status_code for _ in range(6)} == {200}
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - started < 15  # of the 20 that it has while something runs
    assert ResponseRecord.objects.count() == 6


def test_daphne_ends_as_orderly() -> None:
    with running() as site, ThreadPoolExecutor(1) as executor:
        site.server.stop()
        with daphne(site.server.port, {}) as process:
            site.engine.always = Step(delay=6)
            asking = executor.submit(site.ask)
            until(lambda: site.engine.chats)
            process.send_signal(signal.SIGTERM)
            until(lambda: _status(site, "/readyz") == 503)
            refused = site.ask()
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert asking.result(60).status_code == 200
            assert process.wait(60) == 0
    assert ResponseRecord.objects.get().status == "completed"


def test_the_long_body_of_a_stranger_is_not_read() -> None:
    """The connection is closed, or answered, long before the body is there."""
    with running() as site, socket.create_connection(("127.0.0.1", site.server.port)) as stranger:
        stranger.sendall(
            b"POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer nonsense\r\n"
            b"content-length: 60000000\r\n\r\n" + b"{" * 100
        )
        stranger.settimeout(30)
        assert stranger.recv(100).startswith(b"HTTP/1.1 401 ")
        assert not ResponseRecord.objects.exists()
        assert Endpoint.objects.count() == 1


def test_work_in_the_background_has_its_time_too() -> None:
    with on_uvicorn(seconds=20) as (site, process):
        site.engine.always = Step(delay=1.5)
        queued = site.ask(background=True).json()
        until(lambda: site.engine.chats)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert StoredResponse.objects.get(response_id=queued["id"]).status == "completed"
