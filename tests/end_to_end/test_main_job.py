"""The four uses in one run, on a real vLLM: admin, control API, gateway, monitoring; then a crash, and a clean end."""

import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from openai.types.responses import ResponseCompletedEvent, ResponseIncompleteEvent
from playwright.sync_api import Page, sync_playwright

from tests.end_to_end.host import STOP_SECONDS, RoundhouseHost

CONTEXT = 512  # tokens
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM in this environment"),
    pytest.mark.timeout(1200),
]


@pytest.fixture
def page() -> Iterator[Page]:
    """Yield a page of a real browser."""
    browser_path = os.environ.get("ROUNDHOUSE_TEST_BROWSER")
    if not browser_path:
        pytest.skip("no Chromium found; set ROUNDHOUSE_TEST_BROWSER to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM_FLAGS)
        try:
            page = browser.new_page()
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()


def rows(host: RoundhouseHost, query: str) -> list[tuple[Any, ...]]:
    """Return what the database of the running Roundhouse holds."""
    connection = sqlite3.connect(f"file:{host.data_dir / 'db.sqlite3'}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def register(host: RoundhouseHost, model: Path) -> None:
    """Create the profile and the engine through the control API."""
    with host.api() as api:
        api.post("profiles/", json={"name": "tiny-chat"}).raise_for_status()
        refused = api.post("engines/", json={"name": "real", "model": str(model), "vllm_serve_kwargs": {"port": 1}})
        assert refused.status_code == 400
        assert "port" in refused.text
        assert "tensor_parallel_size" in refused.text
        created = api.post(
            "engines/",
            json={
                "name": "real",
                "model": str(model),
                "profiles": ["tiny-chat"],
                "vllm_serve_kwargs": {
                    "data_parallel_size": 1,
                    "tensor_parallel_size": 1,
                    "pipeline_parallel_size": 1,
                    "max_model_len": CONTEXT,
                    "enforce_eager": True,
                },
                "restart_policy": "never",
            },
        )
        assert created.status_code == 201, created.text
        assert created.json()["state"] == "stopped"


def engine_pid(host: RoundhouseHost) -> int:
    """Return the process id of vLLM's API server."""
    [pid] = [
        process.pid
        for process in psutil.process_iter()
        if "vllm.entrypoints.openai.api_server" in (line := command_of(process))
        and str(host.data_dir) in line
        and not line.startswith(("/bin/sh", "sh "))
    ]
    return pid


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def ask(host: RoundhouseHost) -> None:
    """Get real answers through the `openai` client, in one session."""
    key = host.facts["api_key"]
    with openai.OpenAI(
        base_url=f"{host.url}/v1", api_key=key, default_headers={"X-Session-ID": "rollout-7"}, max_retries=0
    ) as client:
        raw = client.responses.with_raw_response.create(model="tiny-chat", input="Hello", max_output_tokens=16)
        assert raw.headers["x-session-id"] == "rollout-7"
        assert raw.headers["x-roundhouse-endpoint"] == "real"
        answer = raw.parse()
        assert answer.usage
        assert answer.usage.output_tokens > 0
        assert answer.status in {"completed", "incomplete"}

        chat = client.chat.completions.create(
            model="tiny-chat", messages=[{"role": "user", "content": "Hello"}], max_tokens=8
        )
        assert chat.usage

        overflow = client.responses.create(model="tiny-chat", input="far too long " * CONTEXT, max_output_tokens=8)
        assert overflow.output_text == ""
        assert overflow.status == "incomplete"
        assert overflow.incomplete_details
        assert overflow.incomplete_details.reason == "max_output_tokens"

        events = list(client.responses.create(model="tiny-chat", input="Hello", max_output_tokens=16, stream=True))
        last = events[-1]
        assert isinstance(last, ResponseCompletedEvent | ResponseIncompleteEvent)
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert len(deltas) > 1
        assert "".join(deltas) == last.response.output_text
        assert last.response.usage
        assert last.response.usage.output_tokens > 0

        with pytest.raises(openai.NotFoundError, match="tiny-chat"):
            client.responses.create(model="nobody", input="Hello")
    with (
        openai.OpenAI(base_url=f"{host.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.responses.create(model="tiny-chat", input="Hello")


def check_database(host: RoundhouseHost) -> None:
    [(requests, empties, endpoint)] = rows(
        host,
        "SELECT s.requests, s.empties, e.name FROM responses_api_session s"
        " JOIN endpoints_endpoint e ON e.id = s.endpoint_id WHERE s.key = 'rollout-7'",
    )
    assert (requests, empties, endpoint) == (4, 1, "real")
    ledger = rows(host, "SELECT api, http_status, empty_cause FROM responses_api_responserecord ORDER BY id")
    answered = ("responses", 200, "")
    assert ledger == [answered, ("chat", 200, ""), ("responses", 200, "context_overflow"), answered]


def sign_in(host: RoundhouseHost, page: Page) -> None:
    page.goto(f"{host.url}/admin/")
    page.fill("input[name=username]", host.facts["admin_username"])
    page.fill("input[name=password]", host.facts["admin_password"])
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/admin/")


def look_at_monitoring(host: RoundhouseHost, page: Page) -> None:
    page.get_by_role("link", name="Empty responses").first.click()
    page.wait_for_url("**/monitor/empty-responses/**")
    text = page.inner_text("body")
    assert "context_overflow" in text
    assert "tiny-chat" in text
    assert "25 %" in text  # one of four answers


def test_the_main_job(host: Callable[..., RoundhouseHost], data_dir: Path, page: Page) -> None:
    roundhouse = host(engine="none")
    roundhouse.start()
    roundhouse.wait_for("ready; Ctrl-C ends everything", 150)
    model = data_dir / "models" / "a-tiny-model"
    subprocess.run([sys.executable, "-m", "controlplane.tiny_model", str(model)], check=True, capture_output=True)

    register(roundhouse, model)
    with roundhouse.api() as api:
        assert api.post("engines/real/start/").raise_for_status().json()["desired_state"] == "running"
    ready = roundhouse.wait_for_state("real", "ready", 480)
    assert ready["base_url"].endswith("/v1")
    assert ready["submission_id"].split("-")[2] == "1"

    ask(roundhouse)
    check_database(roundhouse)
    sign_in(roundhouse, page)
    look_at_monitoring(roundhouse, page)

    os.kill(engine_pid(roundhouse), signal.SIGKILL)
    failed = roundhouse.wait_for_state("real", "failed", 60)
    assert failed["state_reason"]
    assert failed["log_tail"]
    with roundhouse.api() as api:
        assert api.get("endpoints/real/").raise_for_status().json()["health"] == "unhealthy"

    page.goto(f"{roundhouse.url}/admin/launcher/engine/")
    page.get_by_role("link", name="real", exact=True).first.click()
    page.wait_for_url("**/change/")
    page.get_by_text(failed["state_reason"]).first.wait_for()
    page.get_by_role("button", name="Start").first.click()
    roundhouse.wait_for_state("real", "starting", 120)
    assert len(roundhouse.leftovers()) > 5  # Ray, vLLM, the programs, the port: what is looked for below can be seen

    assert roundhouse.stop() < STOP_SECONDS
    assert roundhouse.leftovers() == []
