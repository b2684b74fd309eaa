"""A whole host that is told to end under load: its supervisor, two web workers, a Celery worker and beat."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

from responses_api.models import Session
from tests.chaos.load import check, grows, load
from tests.chaos.web_process import WebProcess, web_processes
from tests.fakes.engine_script import Step
from tests.fakes.scripted_vllm import PROMPT_SCRIPT
from tests.web.gateway_server import until

pytestmark = pytest.mark.django_db(transaction=True)


def ask_slowly(web: WebProcess) -> httpx.Response:
    step = msgspec.json.encode(Step(delay=8)).decode()
    return web.ask("slow", input=f"{PROMPT_SCRIPT}{step}")


def refusal(web: WebProcess) -> httpx.Response | None:
    """Return the answer to a new request; None if it broke, as it does if a worker took it in its last moment: whoever
    is before the hosts, and clients, ask again then.
    """
    try:
        return web.ask("new")
    except httpx.TransportError:
        return None


def test_a_host_that_is_told_to_end_under_load_ends_what_runs_and_refuses_what_is_new(tmp_path: Path) -> None:
    with web_processes(tmp_path, host=True) as (web,), ThreadPoolExecutor(1) as executor, load([web]) as clients:
        until(grows(lambda: len(clients.answered), by=60), seconds=60)
        slow = executor.submit(ask_slowly, web)
        until(Session.objects.filter(key="slow").exists, seconds=60)  # it is on its way
        assert web.process is not None
        web.process.send_signal(signal.SIGTERM)
        until(lambda: web.status("/readyz") == 503, seconds=60)
        refused = until(lambda: refusal(web), seconds=5)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert slow.result(90).status_code == 200
        assert web.process.wait(60) == 0
        clients.stop.set()
    assert {status for status, _ in clients.refused} == {503}
    assert all("shutting_down" in said for _, said in clients.refused)
    check(clients)
    assert web.status("/livez") == 0
