"""Two hosts, as docs/how-to/production.md sets them up: data directories of their own, one PostgreSQL, one Redis."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from django.conf import settings
from django.db.models import Sum

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from launcher.processes import free_port
from responses_api.models import ResponseRecord, Session, UsageMinute
from tests.alone import alone
from tests.chaos.web_process import database_url
from tests.fakes.scripted_vllm import ScriptedVllm
from tests.web.gateway_server import NO_TLS, register, until

REDIS = os.environ.get("ROUNDHOUSE_TEST_REDIS", "")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not REDIS, reason="needs Redis: set ROUNDHOUSE_TEST_REDIS"),
]

PAGE = (Path(settings.BASE_DIR) / "docs/how-to/production.md").read_text()
SESSIONS = 60


def block(heading: str) -> str:
    """Return the first block of code under a heading of the page."""
    found = re.search(rf"^## {heading}\n.*?^```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1].strip()


class Host(NamedTuple):
    """One host: its supervisor, and where its web processes are."""

    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> int:
        """Return the status of a path; 0 if nobody listens."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", verify=NO_TLS, timeout=30).status_code
        except httpx.TransportError:
            return 0

    def ask(self, key: str, session: str, **body: object) -> httpx.Response:
        """Ask once."""
        headers = {"authorization": f"Bearer {key}", "x-session-id": session}
        url = f"http://127.0.0.1:{self.port}/v1/responses"
        body = {"model": "tiny", "input": "hi", **body}
        return httpx.post(url, json=body, headers=headers, verify=NO_TLS, timeout=60)


def environ(data_dir: Path, port: int) -> dict[str, str]:
    """Return the page's settings, with this machine's addresses in them."""
    given = dict(line.split("=", 1) for line in block("The settings").splitlines())
    here = {
        "DATABASE_URL": database_url(),
        "CELERY_BROKER_URL": REDIS,
        "ROUNDHOUSE_SECRET_KEY": settings.SECRET_KEY,
        "ROUNDHOUSE_DATA_DIR": str(data_dir),
        "ROUNDHOUSE_HOST": "127.0.0.1",
        "PORT": str(port),
        "ROUNDHOUSE_WEB_WORKERS": "1",  # as many as there are cores to spare
    }
    assert here.keys() <= given.keys()
    own = {name: value for name, value in os.environ.items() if not name.startswith("ROUNDHOUSE_")}
    return {**own, **given, **here}


def command(heading: str) -> list[str]:
    """Return a command of the page, run by the Python of this test."""
    return [sys.executable if word == ".venv/bin/python" else word for word in shlex.split(block(heading))]


@contextmanager
def host(data_dir: Path) -> Iterator[Host]:
    """A host that has begun to start."""
    port = free_port("127.0.0.1")
    data_dir.mkdir()
    with (data_dir / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command("Each host"), env=environ(data_dir, port), cwd=settings.BASE_DIR, stdout=log, stderr=log
        )
    try:
        yield Host(process, port)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def test_two_hosts_serve_the_same_sessions_in_exact_turns(tmp_path: Path) -> None:
    key = ApiKey.issue(name="caller")[1]
    profile = ConfigProfile.objects.create(name="tiny")
    with ExitStack() as stack:
        stack.enter_context(alone("redis"))
        for number in range(3):
            engine = stack.enter_context(ScriptedVllm(api_key=f"key-{number}"))
            profile.endpoints.add(register(engine, f"engine-{number}"))
        migrated = subprocess.run(
            command("The database, once"),
            check=False,
            env=environ(tmp_path, 1),
            cwd=settings.BASE_DIR,
            capture_output=True,
        )
        assert migrated.returncode == 0, migrated.stderr
        hosts = [stack.enter_context(host(tmp_path / name)) for name in ("a", "b")]
        for one in hosts:
            until(partial(lambda it: it.get("/readyz") == 200, one), seconds=150)

        def turn(number: int, place: int, previous: str | None = None) -> httpx.Response:
            return hosts[(number + place) % 2].ask(key, f"s{number}", previous_response_id=previous)

        with ThreadPoolExecutor(12) as executor:
            first = [*executor.map(lambda number: turn(number, 0), range(SESSIONS))]
            assert {answer.status_code for answer in first} == {200}
            # The other host goes on with what the first one stored.
            second = [*executor.map(lambda number: turn(number, 1, first[number].json()["id"]), range(SESSIONS))]
        assert {answer.status_code for answer in second} == {200}
        homes = [answer.headers["x-roundhouse-endpoint"] for answer in first]
        assert Counter(homes) == {f"engine-{number}": SESSIONS // 3 for number in range(3)}
        assert homes == [answer.headers["x-roundhouse-endpoint"] for answer in second]
        assert {*Session.objects.values_list("requests", "errors", "moves")} == {(2, 0, 0)}
        assert Session.objects.count() == SESSIONS
        assert ResponseRecord.objects.filter(status="completed").count() == 2 * SESSIONS
        assert UsageMinute.objects.aggregate(total=Sum("requests"))["total"] == 2 * SESSIONS
        # Tasks come through Redis: the engines are probed.
        until(lambda: not Endpoint.objects.exclude(health="healthy").exists(), seconds=90)

        for one in hosts:
            one.process.send_signal(signal.SIGTERM)
        assert [one.process.wait(60) for one in hosts] == [0, 0]
