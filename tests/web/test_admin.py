"""Admin pages of endpoints, profiles, keys, users and the overview."""

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

from endpoints import keys
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from launcher.models import EngineEvent
from launcher.states import State
from responses_api.models import ResponseRecord, Session, SessionMove
from tests.web.surfaces import make_endpoint, make_engine, make_profile, make_user, put_in_state, record, signed_in

pytestmark = pytest.mark.django_db

ENDPOINT = {"name": "gpu-1", "base_url": "http://gpu-1:8000/v1", "enabled": "on"}
PROFILE = {
    "name": "tiny",
    "enabled": "on",
    "context_overflow": "empty",
    "chat_template_kwargs": "{}",
    "extra_body": "{}",
    "sampling_overrides": "{}",
    "request_timeout_seconds": "60",
}


@pytest.fixture
def root() -> Client:
    return signed_in(make_user("root", superuser=True))


def text(answer: Any) -> str:
    return str(answer.content.decode())


def errors(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


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
    event = EngineEvent.objects.create(engine=engine, old="stopped", new="pending", reason="It is wanted.")
    return {
        "endpoints_endpoint": endpoint.pk,
        "endpoints_configprofile": profile.pk,
        "endpoints_apikey": key.pk,
        "launcher_engine": engine.pk,
        "launcher_engineevent": event.pk,
        "responses_api_session": session.pk,
        "responses_api_responserecord": row.pk,
        "auth_user": User.objects.get().pk,
    }


EDITED = ["endpoints_endpoint", "endpoints_configprofile", "endpoints_apikey", "launcher_engine", "auth_user"]
SHOWN = ["launcher_engineevent", "responses_api_session", "responses_api_responserecord"]


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


@pytest.mark.parametrize("model", ["responses_api_session", "responses_api_responserecord"])
def test_a_long_history_is_never_counted(root: Client, model: str) -> None:
    everything()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        root.get(reverse(f"admin:{model}_changelist"))
    table = model
    assert not [query for query in queries if f'COUNT(*) AS "__count" FROM "{table}"' in query["sql"]]


# Endpoints


def test_an_endpoint_is_registered_with_its_url_in_one_form(root: Client) -> None:
    answer = root.post(reverse("admin:endpoints_endpoint_add"), {**ENDPOINT, "base_url": "http://gpu-1:8000/v1/"})
    assert answer.status_code == 302
    assert Endpoint.objects.get().base_url == "http://gpu-1:8000/v1"


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ("http://gpu-1:8000", "Use http://gpu-1:8000/v1"),
        ("gpu-1:8000", "Use http://gpu-1:8000/v1"),
        ("https://me:secret@gpu-1/v1", "Use https://gpu-1/v1"),
        ("file:///etc/v1", "starts with http"),
        ("", "required"),
    ],
)
def test_a_bad_base_url_is_shown_its_corrected_form(root: Client, given: str, corrected: str) -> None:
    answer = root.post(reverse("admin:endpoints_endpoint_add"), {**ENDPOINT, "base_url": given})
    assert answer.status_code == 200
    assert corrected in errors(answer)["base_url"][0]
    assert not Endpoint.objects.exists()


def test_a_blank_key_keeps_the_old_one_and_a_switch_clears_it(root: Client) -> None:
    endpoint = make_endpoint("gpu-1")
    page = reverse("admin:endpoints_endpoint_change", args=[endpoint.pk])
    for sent, stored in [
        ({"new_key": "sk-one"}, "sk-one"),
        ({"new_key": ""}, "sk-one"),
        ({"new_key": "sk-two"}, "sk-two"),
        ({"clear_key": "on"}, ""),
    ]:
        assert root.post(page, {**ENDPOINT, **sent}).status_code == 302
        assert Endpoint.objects.get().api_key == stored
    endpoint.api_key = "sk-three"
    endpoint.save()
    assert errors(root.post(page, {**ENDPOINT, "new_key": "x", "clear_key": "on"})).keys() == {"clear_key"}
    assert errors(root.post(page, {**ENDPOINT, "new_key": "two words"})).keys() == {"new_key"}
    assert Endpoint.objects.get().api_key == "sk-three"
    assert "sk-three" not in text(root.get(page))


def test_saving_leaves_what_a_probe_wrote_meanwhile(root: Client) -> None:
    endpoint = make_endpoint("gpu-1")
    with CaptureQueriesContext(connection) as queries:
        root.post(reverse("admin:endpoints_endpoint_change", args=[endpoint.pk]), {**ENDPOINT, "draining": "on"})
    (update,) = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "endpoints_endpoint"')]
    assert "draining" in update
    assert "health" not in update
    assert "base_url" not in update


@pytest.mark.parametrize(
    ("action", "column", "before"),
    [
        ("enable", "enabled", False),
        ("disable", "enabled", True),
        ("drain", "draining", False),
        ("undrain", "draining", True),
    ],
)
def test_actions_switch_the_selected_and_say_how_many_changed(
    root: Client, action: str, column: str, before: bool
) -> None:
    changing = make_endpoint("a", **{column: before})
    already = make_endpoint("b", **{column: not before})
    other = make_endpoint("c", **{column: before})
    answer = root.post(
        reverse("admin:endpoints_endpoint_changelist"),
        {"action": action, "_selected_action": [changing.pk, already.pk]},
        follow=True,
    )
    assert "1 of 2 endpoints" in text(answer)
    found = dict(Endpoint.objects.values_list("name", column))
    assert found == {"a": not before, "b": not before, other.name: before}


def test_an_engines_endpoint_shows_its_owner_and_takes_no_address(root: Client) -> None:
    endpoint = make_endpoint("tiny", api_key="sk-engine")
    engine = make_engine("tiny", endpoint=endpoint)
    page = reverse("admin:endpoints_endpoint_change", args=[endpoint.pk])
    shown = text(root.get(page))
    assert reverse("admin:launcher_engine_change", args=[engine.pk]) in shown
    assert 'name="base_url"' not in shown
    assert 'name="new_key"' not in shown
    root.post(page, {"base_url": "http://evil/v1", "new_key": "x", "enabled": "on", "draining": "on"})
    endpoint.refresh_from_db()
    assert (endpoint.base_url, endpoint.api_key, endpoint.draining) == ("http://tiny:8000/v1", "sk-engine", True)
    assert root.post(reverse("admin:endpoints_endpoint_delete", args=[endpoint.pk]), {"post": "yes"}).status_code == 403


def delete_selected(client: Client, *endpoints: Endpoint) -> Any:
    selected = [endpoint.pk for endpoint in endpoints]
    form = {"action": "delete_selected", "_selected_action": selected, "post": "yes"}
    return client.post(reverse("admin:endpoints_endpoint_changelist"), form, follow=True)


def test_endpoints_of_engines_are_not_deleted_from_the_list(root: Client) -> None:
    owned, free = make_endpoint("tiny"), make_endpoint("gpu-1")
    make_engine("tiny", endpoint=owned)
    assert "tiny belongs to engine tiny, and goes with it" in text(delete_selected(root, owned, free))
    assert Endpoint.objects.count() == 2
    delete_selected(root, free)
    assert [endpoint.name for endpoint in Endpoint.objects.all()] == ["tiny"]


def test_the_page_of_an_endpoint_shows_its_health(root: Client) -> None:
    since = timezone.now() - timedelta(minutes=3)
    endpoint = make_endpoint(
        "gpu-1",
        health="unhealthy",
        health_reason="connection refused",
        health_since=since,
        served_models=["org/model"],
        max_model_len=2048,
        probe_failures=4,
    )
    shown = text(root.get(reverse("admin:endpoints_endpoint_change", args=[endpoint.pk])))
    for part in ("unhealthy", "connection refused", f"{since:%Y-%m-%d %H:%M:%S}", "org/model", "2048 tokens"):
        assert part in shown


# Profiles


def test_an_empty_pool_is_said(root: Client) -> None:
    answer = root.post(reverse("admin:endpoints_configprofile_add"), PROFILE, follow=True)
    assert "The pool of tiny is empty" in text(answer)
    endpoint = make_endpoint()
    page = reverse("admin:endpoints_configprofile_change", args=[ConfigProfile.objects.get().pk])
    assert "is empty" not in text(root.post(page, {**PROFILE, "endpoints": [endpoint.pk]}, follow=True))
    assert [each.name for each in ConfigProfile.objects.get().endpoints.all()] == ["gpu-1"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[1]", "JSON object"),
        ("{'a': 1}", "line 1, column 2"),
        ('{\n "a": }', "line 2, column 7"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": "\\u0000"}', "null characters"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 60 + "1" + "}" * 60, "nested too deeply"),
    ],
)
def test_bad_json_is_refused_with_its_place(root: Client, given: str, said: str) -> None:
    answer = root.post(reverse("admin:endpoints_configprofile_add"), {**PROFILE, "extra_body": given})
    assert said in errors(answer)["extra_body"][0]


def test_blank_json_is_an_empty_object(root: Client) -> None:
    assert root.post(reverse("admin:endpoints_configprofile_add"), {**PROFILE, "extra_body": " "}).status_code == 302
    assert ConfigProfile.objects.get().extra_body == {}


def test_json_is_shown_indented(root: Client) -> None:
    profile = make_profile(extra_body={"stop": ["x"], "top_k": 5})  # the order in which PostgreSQL keeps them
    shown = text(root.get(reverse("admin:endpoints_configprofile_change", args=[profile.pk])))
    assert "{\n  &quot;stop&quot;: [\n    &quot;x&quot;\n  ],\n  &quot;top_k&quot;: 5\n}" in shown


def test_a_profile_with_a_history_is_deleted_after_it_was_counted(root: Client) -> None:
    page = reverse("admin:endpoints_configprofile_delete", args=[everything()["endpoints_configprofile"]])
    assert "Sessions: 1" in re.sub(r"\s+", " ", text(root.get(page))) or "sessions" in text(root.get(page)).lower()
    assert root.post(page, {"post": "yes"}).status_code == 302
    assert not ConfigProfile.objects.exists()
    assert not Session.objects.exists()
    assert ResponseRecord.objects.get().profile_name == "tiny"


# API keys


def shown_key(answer: Any) -> str:
    found = re.search(r'<code class="rh-key">(rh-[0-9a-f]+)</code>', text(answer))
    assert found
    return found.group(1)


def test_a_new_key_is_shown_once(root: Client) -> None:
    added = root.post(reverse("admin:endpoints_apikey_add"), {"name": "ci", "enabled": "on"}, follow=True)
    plain = shown_key(added)
    row = ApiKey.objects.get()
    assert row.digest == keys.digest(plain)
    for page in (reverse("admin:endpoints_apikey_changelist"), reverse("admin:endpoints_apikey_change", args=[row.pk])):
        again = text(root.get(page))
        assert plain not in again
        assert row.digest not in again
        assert row.shown in again


def test_editing_a_key_leaves_it_as_it_is(root: Client) -> None:
    row, plain = ApiKey.issue(name="ci")
    answer = root.post(reverse("admin:endpoints_apikey_change", args=[row.pk]), {"name": "ci-2", "enabled": "on"})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.name, row.digest) == ("ci-2", keys.digest(plain))


def test_a_renewed_key_replaces_the_old_one(root: Client) -> None:
    row, plain = ApiKey.issue(name="ci")
    renewed = shown_key(root.post(reverse("admin:endpoints_apikey_renew", args=[row.pk]), follow=True))
    row.refresh_from_db()
    assert renewed != plain
    assert (row.digest, row.shown) == (keys.digest(renewed), keys.shown(renewed))


def test_a_key_is_renewed_by_a_post_of_who_may_change_it() -> None:
    row, plain = ApiKey.issue(name="ci")
    url = reverse("admin:endpoints_apikey_renew", args=[row.pk])
    viewer = signed_in(make_user("viewer", permissions=["endpoints.view_apikey"]))
    assert viewer.post(url).status_code == 403
    assert "Renew" not in text(viewer.get(reverse("admin:endpoints_apikey_change", args=[row.pk])))
    changer = signed_in(make_user("changer", permissions=["endpoints.change_apikey"]), enforce_csrf_checks=True)
    assert changer.get(url).status_code == 405
    assert changer.post(url).status_code == 403  # no CSRF token
    row.refresh_from_db()
    assert row.digest == keys.digest(plain)


# Users


def test_a_user_is_added_with_the_admins_own_forms(root: Client) -> None:
    form = {"username": "ada", "password1": "correct-horse-42", "password2": "correct-horse-42"}
    assert root.post(reverse("admin:auth_user_add"), {**form, "usable_password": "true"}).status_code == 302
    assert User.objects.get(username="ada").check_password("correct-horse-42")


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
        "50 %",
    ):
        assert part in shown
    assert shown.index(">bad<") < shown.index(">slow<") < shown.index(">good<")


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
    shown_key(root.get("/admin/"))
