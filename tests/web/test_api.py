"""The control API for endpoints, profiles and API keys; what holds for every resource is shown on them."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from endpoints import keys
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from endpoints.serializers import EndpointSerializer
from tests.web.surfaces import (
    JSON,
    control_client,
    make_endpoint,
    make_engine,
    make_profile,
    make_user,
    signed_in,
)

pytestmark = pytest.mark.django_db

ENDPOINTS = "/api/v1/endpoints/"
PROFILES = "/api/v1/profiles/"
KEYS = "/api/v1/api-keys/"


@pytest.fixture
def api() -> Client:
    return control_client()


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


# Who may call


def test_nobody_is_told_to_show_a_key(client: Client) -> None:
    answer = client.get(ENDPOINTS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer rh-wrong", "Bearer", "Bearer a b", "bearer \xe4", "Basic YTpi"])
def test_a_header_that_holds_no_good_key_is_a_401(client: Client, header: str) -> None:
    assert client.get(ENDPOINTS, headers={"authorization": header}).status_code == 401


def test_a_disabled_key_is_refused() -> None:
    assert control_client(enabled=False).get(ENDPOINTS).status_code == 401


def test_an_expired_key_is_refused_and_told_so() -> None:
    answer = control_client(expires_at=timezone.now() - timedelta(seconds=1)).get(ENDPOINTS)
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_a_key_that_expires_later_is_good() -> None:
    assert control_client(expires_at=timezone.now() + timedelta(hours=1)).get(ENDPOINTS).status_code == 200


def test_a_gateway_key_is_forbidden() -> None:
    answer = control_client(scope_control=False, scope_gateway=True).get(ENDPOINTS)
    assert answer.status_code == 403
    assert "control scope" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("permissions", "method", "status"),
    [
        ([], "get", 403),
        (["endpoints.view_endpoint"], "get", 200),
        (["endpoints.change_endpoint"], "get", 200),
        (["endpoints.view_endpoint"], "patch", 403),
        (["endpoints.change_endpoint"], "patch", 200),
        (["endpoints.change_endpoint"], "delete", 403),
        (["endpoints.delete_endpoint"], "delete", 204),
    ],
)
def test_staff_may_do_what_they_may_do_in_the_admin(permissions: list[str], method: str, status: int) -> None:
    make_endpoint("gpu-1")
    browser = signed_in(make_user("staff", permissions=permissions))
    answer = getattr(browser, method)(f"{ENDPOINTS}gpu-1/", data={}, content_type=JSON)
    assert answer.status_code == status


def test_a_user_who_is_not_staff_is_forbidden_whatever_their_permissions() -> None:
    user = make_user("guest", staff=False, permissions=["endpoints.view_endpoint"])
    assert signed_in(user).get(ENDPOINTS).status_code == 403


def test_a_browser_needs_a_csrf_token_to_change_anything() -> None:
    browser = signed_in(make_user("root", superuser=True), enforce_csrf_checks=True)
    answer = browser.post(ENDPOINTS, {"name": "gpu-1", "base_url": "http://gpu-1:8000/v1"}, content_type=JSON)
    assert answer.status_code == 403
    assert not Endpoint.objects.exists()


# Endpoints


def test_an_endpoint_lives_from_create_to_delete(api: Client) -> None:
    body = {"name": "gpu-1", "base_url": " http://gpu-1:8000/v1/ ", "api_key": "sk-upstream"}
    created = api.post(ENDPOINTS, body, content_type=JSON)
    assert created.status_code == 201
    assert created.json()["base_url"] == "http://gpu-1:8000/v1"
    assert created.json()["has_api_key"] is True
    assert Endpoint.objects.get().api_key == "sk-upstream"

    changed = api.patch(f"{ENDPOINTS}gpu-1/", {"draining": True}, content_type=JSON)
    assert changed.json()["draining"] is True
    assert api.get(ENDPOINTS).json()["results"][0]["draining"] is True
    assert api.delete(f"{ENDPOINTS}gpu-1/").status_code == 204
    assert api.get(f"{ENDPOINTS}gpu-1/").status_code == 404


def test_a_stored_key_never_comes_out_and_stays_unless_it_is_named(api: Client) -> None:
    make_endpoint("gpu-1", api_key="sk-upstream")
    answers = [
        api.get(ENDPOINTS),
        api.get(f"{ENDPOINTS}gpu-1/"),
        api.patch(f"{ENDPOINTS}gpu-1/", {"enabled": False}, content_type=JSON),
        api.put(f"{ENDPOINTS}gpu-1/", {"name": "gpu-1", "base_url": "http://x/v1"}, content_type=JSON),
    ]
    assert all("sk-upstream" not in answer.content.decode() for answer in answers)
    assert Endpoint.objects.get().api_key == "sk-upstream"
    cleared = api.patch(f"{ENDPOINTS}gpu-1/", {"api_key": ""}, content_type=JSON)
    assert cleared.json()["has_api_key"] is False
    assert Endpoint.objects.get().api_key == ""


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ("http://gpu-1:8000", "Use http://gpu-1:8000/v1"),
        ("gpu-1:8000/v1", "Use http://gpu-1:8000/v1"),
        ("http://user:secret@gpu-1:8000/v1", "Use http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/chat/completions", "Use http://gpu-1:8000/v1"),
        ("ftp://gpu-1/v1", "starts with http"),
        ("", "may not be blank"),
        (7, "does not end in /v1"),
    ],
)
def test_a_bad_base_url_is_answered_with_the_corrected_form(api: Client, given: Any, corrected: str) -> None:
    answer = api.post(ENDPOINTS, {"name": "gpu-1", "base_url": given}, content_type=JSON)
    assert answer.status_code == 400
    assert corrected in answer.json()["base_url"][0] or isinstance(given, int)
    assert "secret" not in answer.content.decode()


def test_every_problem_of_a_body_is_named_at_once(api: Client) -> None:
    body = {"base_url": "http://gpu-1", "modle": "x", "health": "healthy", "api_key": "two words"}
    answer = api.post(ENDPOINTS, body, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {"name", "base_url", "modle", "health", "api_key"}
    assert answer.json()["modle"] == ["There is no such field."]


@pytest.mark.parametrize("body", ["[]", "7", '"x"', "{", "", '{"name": NaN}', "null", "[" * 100_000])
def test_a_body_that_is_no_object_is_a_400(api: Client, body: str) -> None:
    assert api.post(ENDPOINTS, body, content_type=JSON).status_code == 400


def test_what_was_read_may_be_sent_back(api: Client) -> None:
    make_endpoint("gpu-1")
    read = api.get(f"{ENDPOINTS}gpu-1/").json()
    answer = api.put(f"{ENDPOINTS}gpu-1/", {**read, "enabled": False}, content_type=JSON)
    assert answer.status_code == 200
    assert answer.json()["enabled"] is False


def test_what_is_only_shown_cannot_be_set(api: Client) -> None:
    make_endpoint("gpu-1")
    answer = api.patch(f"{ENDPOINTS}gpu-1/", {"health": "healthy"}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json() == {"health": ["This is shown, never set."]}


def test_a_change_leaves_what_a_probe_wrote_meanwhile() -> None:
    read_before = make_endpoint("gpu-1")
    Endpoint.objects.update(health="healthy")
    serializer = EndpointSerializer(read_before, data={"enabled": False}, partial=True)
    assert serializer.is_valid()
    serializer.save()
    row = Endpoint.objects.get()
    assert (row.health, row.enabled) == ("healthy", False)


def test_a_name_that_is_taken_is_refused(api: Client) -> None:
    make_endpoint("gpu-1")
    answer = api.post(ENDPOINTS, {"name": "gpu-1", "base_url": "http://x/v1"}, content_type=JSON)
    assert answer.status_code == 400
    assert "already exists" in answer.json()["name"][0]


def test_endpoints_are_filtered_by_health_and_ordered(api: Client) -> None:
    make_endpoint("a", health="healthy")
    make_endpoint("b", health="unhealthy")
    make_endpoint("c", health="healthy")
    found = api.get(ENDPOINTS, {"health": "healthy", "ordering": "-name"}).json()
    assert [row["name"] for row in found["results"]] == ["c", "a"]
    refused = api.get(ENDPOINTS, {"health": "fine"})
    assert refused.status_code == 400
    assert "unhealthy" in refused.json()["health"][0]


def test_an_engines_endpoint_takes_no_address_and_no_deletion(api: Client) -> None:
    endpoint = make_endpoint("tiny")
    make_engine("tiny", endpoint=endpoint)
    assert api.get(f"{ENDPOINTS}tiny/").json()["engine"] == "tiny"
    refused = api.patch(f"{ENDPOINTS}tiny/", {"base_url": "http://x/v1", "api_key": "k"}, content_type=JSON)
    assert refused.status_code == 400
    assert refused.json().keys() == {"base_url", "api_key"}
    assert api.patch(f"{ENDPOINTS}tiny/", {"draining": True}, content_type=JSON).status_code == 200
    conflict = api.delete(f"{ENDPOINTS}tiny/")
    assert conflict.status_code == 409
    assert "delete the engine" in conflict.json()["detail"]


# Profiles


@pytest.mark.parametrize("name", ["tiny", "qwen-2.5", "meta-llama/Llama-3.1-8B", "qwen3:30b", "a/b/c.json"])
def test_a_profiles_name_may_be_a_models_name(api: Client, name: str) -> None:
    make_endpoint("gpu-1")
    body = {"name": name, "endpoints": ["gpu-1"], "extra_body": {"top_k": 5}}
    assert api.post(PROFILES, body, content_type=JSON).status_code == 201
    assert api.get(f"{PROFILES}{name}/").json()["endpoints"] == ["gpu-1"]
    escaped = name.replace("/", "%2F").replace(":", "%3A")
    changed = api.patch(f"{PROFILES}{escaped}/", {"endpoints": []}, content_type=JSON)
    assert changed.json()["endpoints"] == []
    assert changed.json()["extra_body"] == {"top_k": 5}
    assert api.delete(f"{PROFILES}{name}/").status_code == 204


@pytest.mark.parametrize("value", [[], "x", 7, None, {"a": "nul \0 inside"}, nested(60)])
@pytest.mark.parametrize("name", ["extra_body", "sampling_overrides", "chat_template_kwargs"])
def test_a_profiles_json_must_be_an_object_that_every_database_stores(api: Client, name: str, value: object) -> None:
    answer = api.post(PROFILES, {"name": "tiny", name: value}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {name}


def test_a_profile_names_endpoints_that_exist(api: Client) -> None:
    answer = api.post(PROFILES, {"name": "tiny", "endpoints": ["nowhere"]}, content_type=JSON)
    assert answer.status_code == 400
    assert "nowhere" in answer.json()["endpoints"][0]
    assert not ConfigProfile.objects.exists()


def test_a_choice_that_does_not_exist_is_refused(api: Client) -> None:
    make_profile()
    answer = api.patch(f"{PROFILES}tiny/", {"context_overflow": "ignore"}, content_type=JSON)
    assert answer.status_code == 400
    assert "ignore" in answer.json()["context_overflow"][0]


# API keys


def test_a_key_is_shown_when_it_is_made_and_never_again(api: Client) -> None:
    make_profile()
    made = api.post(KEYS, {"name": "rollouts", "profiles": ["tiny"]}, content_type=JSON)
    assert made.status_code == 201
    plain = made.json()["key"]
    row = ApiKey.objects.get(name="rollouts")
    assert row.digest == keys.digest(plain)
    assert (row.scope_gateway, row.scope_control) == (True, False)
    assert [profile.name for profile in row.profiles.all()] == ["tiny"]
    read = api.get(f"{KEYS}{row.pk}/")
    assert read.json()["shown"] == keys.shown(plain)
    for answer in (read, api.get(KEYS)):
        assert plain not in answer.content.decode()
        assert row.digest not in answer.content.decode()
    assert api.patch(f"{KEYS}{row.pk}/", {"enabled": False}, content_type=JSON).json()["enabled"] is False
    assert api.delete(f"{KEYS}{row.pk}/").status_code == 204


def test_a_control_key_that_was_made_here_works(api: Client) -> None:
    plain = api.post(KEYS, {"name": "ci", "scope_control": True}, content_type=JSON).json()["key"]
    assert Client(headers={"authorization": f"Bearer {plain}"}).get(KEYS).status_code == 200


def test_a_digest_cannot_be_given(api: Client) -> None:
    answer = api.post(KEYS, {"name": "mine", "digest": "0" * 64, "key": "rh-mine"}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {"digest", "key"}


def test_settings_that_contradict_each_other_are_field_errors(api: Client) -> None:
    make_profile(use_completions_api=True)
    answer = api.patch(f"{PROFILES}tiny/", {"is_responses_native": True}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {"use_completions_api"}
    both = {"is_responses_native": True, "use_completions_api": False}
    assert api.patch(f"{PROFILES}tiny/", both, content_type=JSON).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_headers", {"Authorization": "Bearer x"}),
        ("default_headers", {"a b": "c"}),
        ("default_headers", {"X-Team": "line\nbreak"}),
        ("default_headers", {"X-Team": 7}),
        ("audio_root", "clips"),
        ("audio_root", "/srv/../etc"),
        ("audio_root", "/"),
        ("think_start_tag", " "),
    ],
)
def test_a_profiles_settings_are_checked(api: Client, name: str, value: object) -> None:
    answer = api.post(PROFILES, {"name": "tiny", name: value}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {name}
