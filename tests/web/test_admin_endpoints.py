"""The admin pages of endpoints and config profiles."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from endpoints.models import ConfigProfile, Endpoint
from tests.web.surfaces import errors, make_endpoint, make_engine, make_profile, make_user, signed_in, text

pytestmark = pytest.mark.django_db

ENDPOINT = {"name": "gpu-1", "base_url": "http://gpu-1:8000/v1", "enabled": "on", "max_queued": "1000", "weight": "1"}
PROFILE = {
    "name": "tiny",
    "enabled": "on",
    "context_overflow": "empty",
    "balancing": "round_robin",
    "chat_template_kwargs": "{}",
    "extra_body": "{}",
    "sampling_overrides": "{}",
    "default_headers": "{}",
    "request_timeout_seconds": "60",
    "connect_timeout_seconds": "10",
    "hold_seconds": "30",
    "max_attempts": "3",
    "think_start_tag": "<think>",
    "think_end_tag": "</think>",
    "reasoning_shown_as": "summary",
    "unrunnable_tools": "adapt",
    "uses_interleaved_reasoning": "on",
    "sequential_reasoning_allowed": "on",
}


@pytest.fixture
def root() -> Client:
    return signed_in(make_user("root", superuser=True))


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
    root.post(page, {**ENDPOINT, "base_url": "http://evil/v1", "new_key": "x", "draining": "on"})
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
        ('{"a": "\\ud800"}', "surrogate pair"),
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


def test_settings_that_contradict_each_other_are_refused_where_they_stand(root: Client) -> None:
    answer = root.post(reverse("admin:endpoints_configprofile_add"), {**PROFILE, "render_chat_template": "on"})
    assert "completions API" in errors(answer)["render_chat_template"][0]


def test_json_is_shown_indented(root: Client) -> None:
    profile = make_profile(extra_body={"stop": ["x"], "top_k": 5})  # the order in which PostgreSQL keeps them
    shown = text(root.get(reverse("admin:endpoints_configprofile_change", args=[profile.pk])))
    assert "{\n  &quot;stop&quot;: [\n    &quot;x&quot;\n  ],\n  &quot;top_k&quot;: 5\n}" in shown
