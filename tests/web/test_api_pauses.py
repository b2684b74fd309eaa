"""Pauses, circuits, and who may issue keys for the control API: what the control API and the admin do about them."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from endpoints.probe import Look
from endpoints.services import apply_probe
from tests.web.surfaces import JSON, control_client, make_endpoint, make_user, signed_in, text

pytestmark = pytest.mark.django_db

OPEN: dict[str, Any] = {
    "circuit_cause": "unreachable",
    "circuit_reason": "Connection refused",
    "circuit_trips": 2,
    "circuit_until": timezone.now() + timedelta(seconds=9),
}


@pytest.mark.parametrize(
    ("kind", "path", "name"),
    [(Endpoint, "endpoints", "gpu-1"), (ConfigProfile, "profiles", "meta-llama/Llama-3.1-8B")],
)
def test_a_row_is_paused_and_resumed_by_name(kind: Any, path: str, name: str) -> None:
    kind.objects.create(name=name)
    client = control_client()
    for verb, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        answer = client.post(f"/api/v1/{path}/{name}/{verb}/")
        assert (answer.status_code, answer.json()["paused"]) == (200, paused)
        assert kind.objects.get().paused is paused
    viewer = signed_in(make_user("viewer", permissions=[f"endpoints.view_{kind._meta.model_name}"]))
    assert viewer.post(f"/api/v1/{path}/{name}/pause/").status_code == 403
    assert client.post(f"/api/v1/{path}/nobody/pause/").status_code == 404


def test_what_was_found_during_a_pause_is_forgotten_when_it_ends() -> None:
    row = make_endpoint(paused=True, health="unhealthy", health_reason="gone", probe_failures=7, **OPEN)
    client = control_client()
    shown = client.get("/api/v1/endpoints/gpu-1/").json()
    assert (shown["circuit_cause"], shown["circuit_reason"]) == ("unreachable", "Connection refused")
    shown = client.post("/api/v1/endpoints/gpu-1/resume/").json()
    assert (shown["health"], shown["circuit_cause"], shown["circuit_until"]) == ("unknown", "", None)
    row.refresh_from_db()
    assert (row.probe_failures, row.circuit_trips) == (0, 0)


@pytest.mark.parametrize(
    ("cause", "problem", "left"),
    [("unreachable", "", ""), ("stalled", "", "stalled"), ("unreachable", "no answer", "unreachable")],
)
def test_a_good_probe_closes_a_circuit_of_connections_and_no_other(cause: str, problem: str, left: str) -> None:
    row = make_endpoint(**{**OPEN, "circuit_cause": cause})
    apply_probe(row, Look(problem, ("tiny",)), now=timezone.now())
    row.refresh_from_db()
    assert row.circuit_cause == left


def test_the_admin_pauses_and_shows_why_nobody_asks() -> None:
    root = signed_in(make_user("root", superuser=True))
    row = make_endpoint(**OPEN)
    page = text(root.get(reverse("admin:endpoints_endpoint_change", args=[row.pk])))
    assert "open: Connection refused" in page
    listed = reverse("admin:endpoints_endpoint_changelist")
    assert "circuit open" in text(root.get(listed))
    for action, paused in (("pause", True), ("resume", False)):
        root.post(listed, {"action": action, "_selected_action": [row.pk]})
        row.refresh_from_db()
        assert row.paused is paused
    profile = ConfigProfile.objects.create(name="tiny")
    root.post(
        reverse("admin:endpoints_configprofile_changelist"), {"action": "pause", "_selected_action": [profile.pk]}
    )
    profile.refresh_from_db()
    assert profile.paused


def test_control_keys_are_issued_by_whoever_may() -> None:
    clerk = signed_in(
        make_user("clerk", permissions=["endpoints.add_apikey", "endpoints.change_apikey", "endpoints.view_apikey"])
    )
    added = clerk.post("/api/v1/api-keys/", {"name": "mine", "scope_control": True}, content_type=JSON)
    assert added.status_code == 403
    assert clerk.post("/api/v1/api-keys/", {"name": "mine"}, content_type=JSON).status_code == 201
    mine = ApiKey.objects.get()
    url = f"/api/v1/api-keys/{mine.pk}/"
    assert clerk.patch(url, {"scope_control": True}, content_type=JSON).status_code == 403
    assert clerk.patch(url, {"name": "renamed"}, content_type=JSON).status_code == 200

    fields = {"name": "sly", "enabled": "on", "scope_control": "on", "scope_gateway": "on"}
    clerk.post(reverse("admin:endpoints_apikey_add"), fields)
    assert not ApiKey.objects.get(name="sly").scope_control
    control, _ = ApiKey.issue(name="control", scope_control=True)
    assert clerk.post(reverse("admin:endpoints_apikey_renew", args=[control.pk])).status_code == 403

    chief = signed_in(make_user("chief", permissions=["endpoints.add_apikey", "endpoints.issue_control_keys"]))
    added = chief.post("/api/v1/api-keys/", {"name": "ours", "scope_control": True}, content_type=JSON)
    assert added.status_code == 201
    assert (
        control_client().post("/api/v1/api-keys/", {"name": "x", "scope_control": True}, content_type=JSON).status_code
        == 201
    )
