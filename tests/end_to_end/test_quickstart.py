"""`make run`, whole: a real vLLM answers the calls that were printed, and nothing is left afterwards."""

import importlib.util
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest

from tests.end_to_end.host import ROOT, STOP_SECONDS, RoundhouseHost, pasted

Make = Callable[..., RoundhouseHost]

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM in this environment")


def follow_the_readme(host: RoundhouseHost) -> None:
    """Paste every example of the README's four uses into one shell, where `var` is the data directory."""
    uses = (ROOT / "README.md").read_text().split("## Four uses", 1)[1].split("## Where things are", 1)[0]
    examples = re.findall(r"```(sh|python)\n(.*?)```", uses, flags=re.DOTALL)
    assert [language for language, _ in examples] == ["sh", "sh", "sh", "sh", "python"]
    shell = "\necho\n".join(code for language, code in examples if language == "sh").replace("curl ", "curl --fail ")
    for command in (["sh", "-e", "-c", shell], [sys.executable, "-c", examples[-1][1]]):
        done = subprocess.run(
            command, cwd=host.data_dir.parent, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@needs_vllm
@pytest.mark.timeout(1200)
def test_make_run_twice(host: Make) -> None:
    first = host()
    first.start()
    first.wait_for("ready; Ctrl-C ends everything", 600)
    assert "engine tiny: ready" in first.printed(), first.printed() + first.logs()
    facts = first.facts
    assert facts["model"] == "tiny"
    assert stat.S_IMODE((first.data_dir / "quickstart.json").stat().st_mode) == 0o600

    curl = subprocess.run(
        pasted(first.printed(), "curl http"), shell=True, capture_output=True, text=True, check=True, timeout=120
    )
    answer = json.loads(curl.stdout)
    assert answer["object"] == "response"
    assert answer["usage"]["output_tokens"] > 0
    python = subprocess.run(
        [sys.executable, "-c", pasted(first.printed(), "from openai import OpenAI")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert python.stdout.strip()

    follow_the_readme(first)

    assert first.stop(signal.SIGINT) < STOP_SECONDS
    assert first.leftovers() == []

    # Again, on another port: served at once, with the same password, key and data; ended while the engine starts.
    second = host()
    begun = time.monotonic()
    second.start()
    second.wait_for("the control plane serves", 60)
    headers = {"Authorization": f"Bearer {facts['api_key']}"}
    with httpx.Client(base_url=second.url, headers=headers, timeout=30) as client:
        engine = client.get("/api/v1/engines/tiny/").raise_for_status().json()
        assert time.monotonic() - begun < 60  # while nobody waits for the engine, which is seen to start below
        assert engine["desired_state"] == "running"
        assert "tiny" in {model["id"] for model in client.get("/v1/models").raise_for_status().json()["data"]}
    second.wait_for_state("tiny", "starting", 120)
    assert second.stop() < STOP_SECONDS
    assert second.leftovers() == []
    assert second.facts["admin_password"] == facts["admin_password"]


def test_without_an_engine_it_is_ready_soon(host: Make) -> None:
    alone = host(engine="none")
    begun = time.monotonic()
    alone.start()
    alone.wait_for("ready; Ctrl-C ends everything", 120)
    assert time.monotonic() - begun < 100
    assert alone.facts["model"] is None

    again = host(engine="none")
    again.start()
    assert again.process
    assert again.process.wait(90) == 1
    assert "already runs" in again.printed()
    assert "Traceback" not in again.printed()

    assert alone.stop() < STOP_SECONDS
    assert alone.leftovers() == []


def test_a_port_in_use_is_one_line_that_says_what_to_do(host: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = host(engine="none", port=port)
        refused.start()
        assert refused.process
        assert refused.process.wait(90) == 1
    lines = refused.printed().splitlines()
    assert len(lines) == 1
    assert f"127.0.0.1:{port} cannot be used (Address already in use): set PORT" in lines[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "ROUNDHOUSE_WEB_WORKERS",
            "many",
            "ROUNDHOUSE_WEB_WORKERS='many' is not a number: set it to one from 1 to 64.",
        ),
        ("ROUNDHOUSE_LOG_LEVEL", "LOUD", "set it to one of DEBUG, INFO, WARNING, ERROR."),
        ("DATABASE_URL", "foo", "DATABASE_URL is not a database URL: set it to postgres://"),
        ("ROUNDHOUSE_DATA_DIR", "/etc/passwd", "cannot be used (File exists): set it to a directory of yours."),
    ],
)
def test_an_unusable_setting_is_one_line(host: Make, name: str, value: str, said: str) -> None:
    refused = host(engine="none", settings={name: value})
    refused.start()
    assert refused.process
    assert refused.process.wait(90) == 1
    [line] = refused.printed().splitlines()
    assert line.startswith("roundhouse: ")
    assert said in line
