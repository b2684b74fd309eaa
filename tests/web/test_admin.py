"""What holds for every admin page, the overview, the navigation, and users."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from endpoints.models import ApiKey, ConfigProfile
from launcher.models import EngineEvent
from launcher.states import State
from responses_api.models import ResponseRecord, Session, SessionMove, StoredResponse
from tests.web.surfaces import (
    make_endpoint,
    make_engine,
    make_profile,
    make_user,
    put_in_state,
    record,
    signed_in,
    text,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    return signed_in(make_user("root", superuser=True))


def everything() -> dict[str, int]:
    """Return one row of each model, by the model's part of the URL."""
    endpoint, profile = make_endpoint("gpu-1", api_key="sk-upstream"), make_profile()
    profile.endpoints.add(endpoint)
    engine = make_engine("tiny", endpoint=make_endpoint("tiny"))
    key, _ = ApiKey.issue(name="rollouts")
    now = timezone.now()
    session = Session.objects.create(
        profile=profile, caller=key, key="s-1", endpoint=endpoint, created_at=now, last_seen_at=now
    )
    SessionMove.objects.create(session=session, old_endpoint="a", new_endpoint="b", reason="a is dead", at=now)
    row = record(session=session, empty_cause="context_overflow", detail="too long")
    kept = StoredResponse.objects.create(
        response_id="resp_1", caller_id=key.pk, status="completed", created_at=now, body=b"secret", input=b"secret"
    )
    event = EngineEvent.objects.create(engine=engine, old="stopped", new="pending", reason="It is wanted.")
    return {
        "endpoints_endpoint": endpoint.pk,
        "endpoints_configprofile": profile.pk,
        "endpoints_apikey": key.pk,
        "launcher_engine": engine.pk,
        "launcher_engineevent": event.pk,
        "responses_api_session": session.pk,
        "responses_api_responserecord": row.pk,
        "responses_api_storedresponse": kept.pk,
        "auth_user": User.objects.get().pk,
    }


EDITED = ["endpoints_endpoint", "endpoints_configprofile", "endpoints_apikey", "launcher_engine", "auth_user"]
SHOWN = [
    "launcher_engineevent",
    "responses_api_session",
    "responses_api_responserecord",
    "responses_api_storedresponse",
]


@pytest.mark.parametrize("model", [*EDITED, *SHOWN])
def test_every_list_page_and_history_opens(root: Client, model: str) -> None:
    assert root.get(reverse(f"admin:{model}_changelist")).status_code == 200
    pk = everything()[model]
    for page in (
        root.get(reverse(f"admin:{model}_changelist")),
        root.get(reverse(f"admin:{model}_change", args=[pk])),
        root.get(reverse(f"admin:{model}_history", args=[pk])),
    ):
        assert page.status_code == 200
        assert "sk-upstream" not in text(page)


@pytest.mark.parametrize("model", EDITED)
def test_what_is_edited_can_be_added_and_deleted(root: Client, model: str) -> None:
    pk = everything()[model]
    assert root.get(reverse(f"admin:{model}_add")).status_code == 200
    assert root.get(reverse(f"admin:{model}_delete", args=[pk])).status_code == 200


@pytest.mark.parametrize("model", SHOWN)
def test_history_is_never_edited(root: Client, model: str) -> None:
    pk = everything()[model]
    assert root.get(reverse(f"admin:{model}_add")).status_code == 403
    assert root.post(reverse(f"admin:{model}_delete", args=[pk]), {"post": "yes"}).status_code == 403
    assert root.post(reverse(f"admin:{model}_change", args=[pk]), {"reason": "x"}).status_code == 403


def test_the_ledger_names_the_model_the_endpoint_and_how_long_it_took(root: Client) -> None:
    row = record(profile_name="judge", endpoint_name="gpu-7", duration_ms=1_500)
    pages = (
        reverse("admin:responses_api_responserecord_changelist"),
        reverse("admin:responses_api_responserecord_change", args=[row.pk]),
    )
    for page in pages:
        shown = " ".join(re.sub("<[^>]+>", " ", text(root.get(page)).split('id="content"', 1)[1]).split())
        for part in ("Model", "judge", "gpu-7", "1.5 s"):
            assert part in shown, page


def test_what_was_said_in_a_stored_response_is_not_shown(root: Client) -> None:
    page = root.get(
        reverse("admin:responses_api_storedresponse_change", args=[everything()["responses_api_storedresponse"]])
    )
    assert "resp_1" in text(page)
    assert "secret" not in text(page)


@pytest.mark.parametrize(
    "model", ["responses_api_session", "responses_api_responserecord", "responses_api_storedresponse"]
)
def test_a_long_history_is_never_counted(root: Client, model: str) -> None:
    everything()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        root.get(reverse(f"admin:{model}_changelist"))
    table = model
    assert not [query for query in queries if f'COUNT(*) AS "__count" FROM "{table}"' in query["sql"]]


def test_a_profile_with_a_history_is_deleted_after_it_was_counted(root: Client) -> None:
    page = reverse("admin:endpoints_configprofile_delete", args=[everything()["endpoints_configprofile"]])
    assert "Sessions: 1" in re.sub(r"\s+", " ", text(root.get(page))) or "sessions" in text(root.get(page)).lower()
    assert root.post(page, {"post": "yes"}).status_code == 302
    assert not ConfigProfile.objects.exists()
    assert not Session.objects.exists()
    assert ResponseRecord.objects.get().profile_name == "tiny"


# Users


def test_a_user_is_added_with_the_admins_own_forms(root: Client) -> None:
    form = {"username": "ada", "password1": "correct-horse-42", "password2": "correct-horse-42"}
    assert root.post(reverse("admin:auth_user_add"), {**form, "usable_password": "true"}).status_code == 302
    assert User.objects.get(username="ada").check_password("correct-horse-42")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("launcher/engine", "make one from a preset"),
        ("launcher/engineevent", "press Start"),
        ("endpoints/endpoint", "register a server that runs already"),
        ("endpoints/configprofile", "what clients send as model"),
        ("endpoints/apikey", "needs a key"),
        ("responses_api/responserecord", "leaves a row here"),
        ("responses_api/session", "keeps it on one engine"),
        ("responses_api/storedresponse", "store: false"),
        ("endpoints/apikey", 'href="/admin/endpoints/apikey/add/"'),
        ("responses_api/session/?q=nothing", "Nothing matches"),
        ("launcher/engine/?state__exact=ready", "Nothing matches"),
    ],
)
def test_an_empty_list_says_how_a_row_comes_about(root: Client, path: str, said: str) -> None:
    shown = text(root.get(f"/admin/{path}" if "?" in path else f"/admin/{path}/"))
    assert said in shown.split('id="content"', 1)[1]


def test_a_row_is_called_by_its_own_name(root: Client) -> None:
    shown = text(root.get(reverse("admin:endpoints_configprofile_change", args=[make_profile("gpt-oss-20b").pk])))
    assert "Gpt-oss" not in shown


# The overview and the navigation


def test_the_overview_of_an_empty_house_says_what_to_do(root: Client) -> None:
    shown = text(root.get("/admin/"))
    assert "No engine yet" in shown
    assert "No endpoint yet" in shown
    assert reverse("admin:launcher_engine_add") in shown
    assert reverse("admin:endpoints_endpoint_add") in shown


def test_the_overview_shows_what_runs_what_does_not_and_why(root: Client) -> None:
    put_in_state(make_engine("good"), State.READY)
    put_in_state(make_engine("bad"), State.FAILED, state_reason="CUDA out of memory")
    put_in_state(make_engine("slow"), State.STARTING, phase="loading shard 3 of 8")
    make_endpoint("gpu-1", health="unhealthy", health_reason="connection refused")
    record()
    record(empty_cause="no_tokens")
    record(ago=timedelta(hours=2))
    record(status="failed", http_status=503)
    shown = text(root.get("/admin/"))
    for part in (
        "CUDA out of memory",
        "press Start to try again",
        "loading shard 3 of 8",
        "connection refused",
    ):
        assert part in shown
    assert re.findall(r"<b>(.*?)</b>", shown) == ["3", "1"]
    assert shown.index(">bad<") < shown.index(">slow<") < shown.index(">good<")


@pytest.mark.parametrize(
    ("fields", "traffic", "why"),
    [
        ({}, "on", "-"),
        ({"enabled": False, "health": "unhealthy"}, "off", "-"),
        ({"paused": True}, "paused", "-"),
        ({"draining": True}, "draining", "-"),
        (
            {"circuit_cause": "stalled", "circuit_reason": "3 answers stalled.", "health": "healthy"},
            "circuit open",
            "3 answers stalled.",
        ),
        (
            {"health": "unhealthy", "health_reason": "GET /health answers HTTP 500."},
            "on",
            "GET /health answers HTTP 500. See that its server runs, and that the base URL and the key are right.",
        ),
    ],
)
def test_the_overview_says_what_an_endpoint_gets_and_why(
    root: Client, fields: dict[str, Any], traffic: str, why: str
) -> None:
    make_endpoint(**fields)
    row = text(root.get("/admin/")).split("http://gpu-1:8000/v1", 1)[1].split("</tr>", 1)[0]
    cells = [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in row.split("</td>")]
    assert cells[2:4] == [traffic, why]


def test_the_overview_and_navigation_show_what_one_may_see() -> None:
    put_in_state(make_engine("secret-engine"), State.READY)
    make_endpoint("gpu-1")
    nobody = text(signed_in(make_user("nobody")).get("/admin/"))
    assert "secret-engine" not in nobody
    assert "ask an administrator" in nobody
    assert reverse("admin:endpoints_apikey_changelist") not in nobody
    assert reverse("monitor:empty-responses") in nobody
    viewer = text(signed_in(make_user("viewer", permissions=["launcher.view_engine"])).get("/admin/"))
    assert "secret-engine" in viewer
    assert "Add engine" not in viewer
    assert "gpu-1:8000" not in viewer


def test_a_page_that_refreshes_itself_uses_up_no_message(root: Client) -> None:
    row, _ = ApiKey.issue(name="ci")
    root.post(reverse("admin:endpoints_apikey_renew", args=[row.pk]))
    assert "rh-key" not in text(root.get("/admin/", headers={"hx-request": "true"}))
    assert "rh-key" in text(root.get("/admin/"))
