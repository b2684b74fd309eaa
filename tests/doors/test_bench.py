"""`make bench` against a server that is not ours, as anyone may run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.fakes.scripted_vllm import ScriptedVllm

SMALL = "--requests 20 --rounds 2 --in-flight 2 --streams 2 --crowd 0"
KINDS = {"responses": "/v1/responses", "chat": "/v1/chat/completions"}


def bench(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it with the target in the environment."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *SMALL.split(), *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize("api", KINDS)
def test_another_server_is_driven_by_the_same_load(api: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    with ScriptedVllm(api_key="secret") as server:
        given = {"BASE_URL": server.base_url, "KEY": "secret", "MODEL": "tiny"}
        done = bench("--api", api, "--pid", str(os.getpid()), "--json", str(rows), **given)
        assert done.returncode == 0, done.stderr
        assert {seen.path for seen in server.requests} == {KINDS[api]}
        told = bench("--api", api, "--streams", **given)
        refused = bench("--api", api, **{**given, "KEY": "wrong"})
    found = json.loads(rows.read_text())
    assert [(row["server"], row["case"], row["in_flight"]) for row in found] == [
        (server.base_url, case, 2) for case in ("whole", "stored", "streamed")
    ]
    assert all(row["cpu_us"] >= 0 and row["peak_mib"] > 0 and row["p99_ms"] >= row["p50_ms"] > 0 for row in found)
    assert len(done.stdout.splitlines()) == 1 + len(found)
    table, _, as_json = told.stdout.partition("\n\n")
    assert (len(table.splitlines()), [row["case"] for row in json.loads(as_json)]) == (3, ["whole", "stored"])
    assert (refused.returncode, "answered 401" in refused.stderr) == (1, True)


def test_it_says_what_is_missing() -> None:
    done = bench(BASE_URL="http://127.0.0.1:9/v1", MODEL="")
    assert (done.returncode, "MODEL=" in done.stderr) == (1, True)
