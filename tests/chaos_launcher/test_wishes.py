"""What is wanted comes many times, changes, or ends while engines run and answer."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from controlplane.supervisor import programs
from tests.chaos_launcher.site import STREAM, Site, ask
from tests.end_to_end.host import ROOT, until
from tests.fakes import engine_scripted

SEND = """
from controlplane.celery import app
for _ in range(60):
    app.send_task("launcher.reconcile_engine", [{pk}])
    app.send_task("launcher.reconcile_all")
"""


def number_of(engine: dict[str, Any]) -> str:
    """Return its number in the database."""
    return str(engine["submission_id"]).split("-")[1]


def test_tasks_that_come_many_times_to_two_workers_launch_once(site: Site) -> None:
    site.make("often", env={"FAKE_START_SECONDS": "1"})
    host = site.host
    env = {**os.environ, "ROUNDHOUSE_DATA_DIR": str(host.data_dir), "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    argv = next(
        each.argv for each in programs(host="", port=0, workers=1, data_dir=host.data_dir) if each.name == "worker"
    )
    with (host.data_dir / "logs" / "second-worker.log").open("w") as log:
        second = subprocess.Popen([*argv, "--hostname", "second"], cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        site.start("often")
        send = SEND.format(pk=number_of(site.engine("often")))
        subprocess.run([sys.executable, "-c", send], cwd=ROOT, env=env, check=True)
        assert site.wait_for("often", "ready")["generation"] == 1
        assert site.history("often") == ["pending", "starting", "ready"]
        assert len(site.launches("often")) == 1
        assert second.poll() is None
    finally:
        second.terminate()
        second.wait(30)


def test_a_restart_of_two_engines_loses_no_request(site: Site) -> None:
    scripted = engine_scripted.executable(site.host.data_dir)
    site.api("POST", "profiles/", {"name": "rolling"})
    for name in ("first", "second"):
        site.make(name, ray_worker_py_executable=scripted, profiles=["rolling"], drain_seconds=3)
        site.start(name)
    for name in ("first", "second"):
        site.wait_for(name, "ready")
    answers: list[httpx.Response] = []
    done = False

    def client(number: int) -> None:
        while not done:
            stream = number % 2 == 0
            session = {"metadata": {"session_id": f"agent-{number}"}} if number > 1 else {}  # one that goes on and on
            answers.append(ask(site, "rolling", input=STREAM if stream else "hi", stream=stream, **session))
            time.sleep(0.05)

    with ThreadPoolExecutor(6) as clients:
        running = [clients.submit(client, number) for number in range(6)]
        try:
            for name in ("first", "second"):
                site.api("POST", f"engines/{name}/restart/")
            for name in ("first", "second"):
                site.wait(name, lambda row: row["generation"] == 2 and row["state"] == "ready")
        finally:
            done = True
        for each in running:
            each.result()
    assert [answer.status_code for answer in answers if answer.status_code != 200] == []
    assert [answer.text for answer in answers if "response.failed" in answer.text] == []
    assert {answer.headers["x-roundhouse-endpoint"] for answer in answers} == {"first", "second"}


def test_an_engine_is_deleted_while_it_runs_once_it_is_stopped(site: Site) -> None:
    site.ready("unwanted", env={"FAKE_CHILD": "1"})
    site.api("DELETE", "engines/unwanted/", status=409)
    site.api("DELETE", "engines/unwanted/?stop=true")
    until(lambda: "unwanted" not in site.names(), 30, site.host.logs)
