"""The cluster in the admin and the control API, where none runs and where one does not answer."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from launcher import places, processes
from launcher.models import installation
from launcher.states import State
from tests.web.surfaces import control_client, make_engine, make_user, put_in_state, signed_in

pytestmark = pytest.mark.django_db

PAGE, REAP = "/admin/cluster/", "/admin/cluster/reap/"


@pytest.fixture
def staff() -> Client:
    return signed_in(make_user("ann", permissions=["launcher.view_engine", "launcher.change_engine"]))


@pytest.fixture
def orphan() -> Iterator[str]:
    """A process of an engine that no row knows of, by its job's id."""
    submission_id = f"engine-77-3-{installation()}"
    mark = places.of_this_host().mark(submission_id)
    argv = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    environment = processes.environment("ROUNDHOUSE_ENGINE", mark)
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # its environment is to be seen from here on
        yield submission_id
        process.kill()


def test_where_nothing_runs_the_page_says_what_will(staff: Client) -> None:
    page = staff.get(PAGE).content.decode()
    assert "No cluster runs" in page
    assert "No engine waits." in page
    assert "None: every job" in page
    assert "Reap all" not in page


def test_who_waits_is_shown_with_why(staff: Client) -> None:
    engine = put_in_state(make_engine(), State.PENDING, phase="It needs 8 GPUs; the cluster has none.")
    page = staff.get(PAGE).content.decode()
    assert f"/admin/launcher/engine/{engine.pk}/change/" in page
    assert "It needs 8 GPUs; the cluster has none." in page
    assert PAGE in staff.get("/admin/").content.decode()
    shown = control_client().get("/api/v1/cluster/").json()
    assert shown == {
        "local": True,
        "running": False,
        "trouble": "",
        "gpus": 0,
        "free_gpus": 0,
        "nodes": [],
        "waiting": [{"engine": "tiny", "reason": "It needs 8 GPUs; the cluster has none."}],
        "orphans": [],
    }


def test_a_cluster_that_does_not_answer_says_so(staff: Client, settings: Settings) -> None:
    settings.RAY_ADDRESS = "http://127.0.0.1:9"
    assert "The cluster does not answer" in staff.get(PAGE).content.decode()
    assert "Ray does not answer" in control_client().get("/api/v1/cluster/").json()["trouble"]


def test_orphans_are_listed_with_their_owner_and_reaped_on_request(staff: Client, orphan: str) -> None:
    api = control_client()
    (shown,) = api.get("/api/v1/cluster/orphans/").json()
    assert (shown["submission_id"], shown["engine"]) == (orphan, "engine 77, which was deleted")
    assert (shown["attempt"], shown["job"], len(shown["processes"])) == (3, None, 1)
    page = staff.get(PAGE).content.decode()
    assert "engine 77, which was deleted" in page
    assert "Reap all" in page
    assert staff.get(REAP).status_code == 405
    answer = api.post("/api/v1/cluster/orphans/reap/").json()
    assert [each["submission_id"] for each in answer["reaped"]] == [orphan]
    assert answer["left"] == []
    assert api.get("/api/v1/cluster/orphans/").json() == []


def test_the_button_reaps(staff: Client, orphan: str) -> None:
    page = staff.post(REAP, follow=True).content.decode()
    assert "1 orphan told to end." in page
    assert orphan not in page


def test_who_may_look_may_not_reap(orphan: str) -> None:
    viewer = signed_in(make_user("vic", permissions=["launcher.view_engine"]))
    assert "Reap all" not in viewer.get(PAGE).content.decode()
    assert viewer.post(REAP).status_code == 403
    assert viewer.post("/api/v1/cluster/orphans/reap/").status_code == 403
    nobody = signed_in(make_user("eve"))
    assert nobody.get(PAGE).status_code == 403
    assert nobody.get("/api/v1/cluster/").status_code == 403
    assert orphan in viewer.get("/api/v1/cluster/orphans/").content.decode()
