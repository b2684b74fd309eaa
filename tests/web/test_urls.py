"""Addresses: the OpenAPI document, its page, and what lies beside the paths that exist."""

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client

from tests.web.surfaces import JSON, control_client, make_user, signed_in

pytestmark = pytest.mark.django_db


def test_the_openapi_document_is_valid_and_complete_without_a_warning(tmp_path: Path) -> None:
    target = tmp_path / "schema.yml"
    call_command("spectacular", "--fail-on-warn", "--validate", file=str(target))
    text = target.read_text()
    for path in ("engines/{name}/start/", "engines/{name}/stop/", "engines/{name}/events/", "endpoints/{name}/"):
        assert f"/api/v1/{path}:" in text
    assert "scheme: bearer" in text


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
def test_the_document_is_for_operators(client: Client, path: str) -> None:
    browser = client.get(path, headers={"accept": "text/html,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["Location"]) == (302, f"/admin/login/?next={path}")
    assert client.get(path).status_code == 401
    assert control_client().get(path).status_code == 200
    assert signed_in(make_user("staff")).get(path, headers={"accept": "text/html,*/*"}).status_code == 200
    assert signed_in(make_user("guest", staff=False)).get(path).status_code == 403


def test_the_page_of_the_api_asks_no_other_host_for_anything() -> None:
    page = signed_in(make_user("staff")).get("/api/docs/").content.decode()
    assert "https://" not in page
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in page
    assert finders.find("drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js")


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_a_forgotten_slash_is_named(method: str) -> None:
    answer = getattr(control_client(), method)("/api/v1/engines/tiny/start", content_type=JSON)
    assert answer.status_code == 404
    assert "/api/v1/engines/tiny/start/" in answer.json()["detail"]


def test_what_does_not_exist_is_a_404_for_operators_and_a_401_for_others(client: Client) -> None:
    assert client.get("/api/v1/nothing/").status_code == 401
    assert control_client().get("/api/v1/nothing/").json() == {"detail": "There is nothing at /api/v1/nothing/."}


def test_the_root_lists_the_resources() -> None:
    names = {"engines", "presets", "cluster", "endpoints", "profiles", "api-keys", "usage"}
    assert control_client().get("/api/v1/").json().keys() == names


def test_the_bare_address_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"


def test_health_is_open(client: Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
