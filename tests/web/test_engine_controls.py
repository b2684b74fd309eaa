"""Restart, stop and delete, tokens, and who may say what a process runs: in the admin and the control API alike."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from launcher import queries
from launcher.models import Engine
from launcher.states import Desired, State
from tests.web.surfaces import (
    JSON,
    control_client,
    make_endpoint,
    make_engine,
    make_profile,
    make_user,
    put_in_state,
    signed_in,
    text,
)
from tests.web.test_admin_engines import FORM, page, press

pytestmark = pytest.mark.django_db

ENGINES = "/api/v1/engines/"
TOKEN = "hf_" + "x" * 30


@pytest.fixture
def api() -> Client:
    return control_client()


@pytest.fixture
def root() -> Client:
    return signed_in(make_user("root", superuser=True))


def serving() -> Engine:
    engine = make_engine(vllm_serve_kwargs=json.loads(FORM["vllm_serve_kwargs"]))
    launched = queries.digests(engine)
    return put_in_state(engine, State.READY, generation=3, base_url="http://127.0.0.1:20001/v1", launched=launched)


def test_what_needs_a_restart_is_shown_and_restart_is_asked_for_once(api: Client, root: Client) -> None:
    engine = serving()
    assert api.get(f"{ENGINES}tiny/").json()["needs_restart"] == []
    assert "Restart applies that" not in text(root.get(page(engine)))
    changed = api.patch(f"{ENGINES}tiny/", {"debug": True}, content_type=JSON).json()
    assert (changed["needs_restart"], changed["restart_asked"]) == (["debug"], False)
    shown = text(root.get(page(engine)))
    assert "Changed since it was launched: debug. Restart applies that." in shown
    assert api.post(f"{ENGINES}tiny/restart/").json()["restart_asked"] is True
    assert "A restart was asked for" in text(root.get(page(engine)))
    assert "is about to; nothing changed" in text(press(root, engine, "restart", follow=True))


def test_the_button_restarts(root: Client) -> None:
    engine = serving()
    assert "drains, stops and starts again" in text(press(root, engine, "restart", follow=True))
    assert Engine.objects.get().restart_asked
    Engine.objects.update(vllm_serve_kwargs={"port": 1}, restart_of=None)
    assert "cannot be restarted" in text(press(root, engine, "restart", follow=True))


def test_profiles_that_are_linked_to_a_running_engine_use_it_at_once(api: Client, root: Client) -> None:
    engine = serving()
    same, other = (make_profile(name, upstream_model=model) for name, model in (("same", "org/model"), ("other", "x")))
    owned = make_endpoint("tiny", base_url=engine.base_url, served_models=["org/model"])
    owned.profiles.add(make_profile("by-hand"))
    Engine.objects.update(endpoint=owned)

    changed = api.patch(f"{ENGINES}tiny/", {"profiles": ["same", "other"]}, content_type=JSON).json()
    assert changed["needs_restart"] == ["profiles"]  # for the name that it does not serve yet
    assert {profile.name for profile in owned.profiles.all()} == {"by-hand", "same"}
    root.post(page(engine), {**FORM, "profiles": [other.pk]})
    assert {profile.name for profile in owned.profiles.all()} == {"by-hand"}
    root.post(page(engine), {**FORM, "profiles": [other.pk, same.pk]})
    assert {profile.name for profile in owned.profiles.all()} == {"by-hand", "same"}

    put_in_state(engine, State.STOPPED, Desired.STOPPED, base_url="")
    api.patch(f"{ENGINES}tiny/", {"profiles": []}, content_type=JSON)
    assert {profile.name for profile in owned.profiles.all()} == {"by-hand"}
    api.patch(f"{ENGINES}tiny/", {"profiles": ["same"]}, content_type=JSON)  # joined when it is ready
    assert {profile.name for profile in owned.profiles.all()} == {"by-hand"}


def test_settings_that_cannot_be_launched_are_not_restarted_with(api: Client) -> None:
    Engine.objects.filter(pk=serving().pk).update(vllm_serve_kwargs={"port": 1})
    answer = api.post(f"{ENGINES}tiny/restart/")
    assert answer.status_code == 400
    assert "port cannot be set" in answer.json()["vllm_serve_kwargs"][0]


def test_a_running_engine_is_deleted_on_request_once_it_is_stopped(api: Client, root: Client) -> None:
    engine = serving()
    answer = api.delete(f"{ENGINES}tiny/?stop=true")
    assert (answer.status_code, answer.json()["delete_asked"]) == (202, True)
    assert Engine.objects.get().desired_state == Desired.STOPPED
    assert "It is deleted once it is stopped." in text(root.get(page(engine)))
    put_in_state(engine, State.STOPPED, Desired.STOPPED, delete_asked=False)
    assert api.delete(f"{ENGINES}tiny/?stop=true").status_code == 204


def test_stop_and_delete_is_for_those_who_may_delete(root: Client) -> None:
    engine = serving()
    operator = signed_in(make_user("operator", permissions=["launcher.change_engine"]))
    assert "Stop and delete" not in text(operator.get(page(engine)))
    assert press(operator, engine, "stop_and_delete").status_code == 403
    assert "Stop and delete" in text(root.get(page(engine)))
    assert "is deleted once it is stopped" in text(press(root, engine, "stop_and_delete", follow=True))
    assert Engine.objects.get().delete_asked


def test_a_token_goes_in_and_never_comes_out(api: Client, root: Client) -> None:
    body = {"name": "tiny", "model": "org/model", "hf_token": TOKEN}
    created = api.post(ENGINES, body, content_type=JSON)
    assert (created.status_code, created.json()["has_hf_token"]) == (201, True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT hf_token FROM launcher_engine")
        assert TOKEN not in cursor.fetchone()[0]
    engine = Engine.objects.get()
    assert engine.hf_token == TOKEN
    for answer in (created, api.get(ENGINES), api.get(f"{ENGINES}tiny/"), root.get(page(engine))):
        assert TOKEN not in answer.content.decode()
    assert api.patch(f"{ENGINES}tiny/", {"hf_token": ""}, content_type=JSON).json()["has_hf_token"] is False


def test_a_token_is_typed_kept_and_removed_in_the_form(root: Client) -> None:
    engine = make_engine()
    for typed, stored in (
        ({"new_token": TOKEN}, TOKEN),
        ({}, TOKEN),
        ({"new_token": "hf_other", "clear_token": "on"}, TOKEN),
        ({"clear_token": "on"}, ""),
    ):
        root.post(page(engine), {**FORM, **typed})
        assert Engine.objects.get().hf_token == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ray_worker_py_executable", "/tmp/mine"),
        ("hf_home", "/etc"),
        ("vllm_serve_env_vars", {"VLLM_RAY_DP_PACK_STRATEGY": "strict", "LD_PRELOAD": "/tmp/mine.so"}),
    ],
)
def test_what_a_process_runs_is_for_those_with_the_permission(api: Client, field: str, value: Any) -> None:
    engine = make_engine()
    before = getattr(engine, field)
    operator = make_user("operator", permissions=["launcher.change_engine", "launcher.add_engine"])
    refused = signed_in(operator).patch(f"{ENGINES}tiny/", {field: value}, content_type=JSON)
    assert (refused.status_code, refused.json()) == (
        400,
        {field: ["This needs the permission launcher.launch_engine."]},
    )
    same = signed_in(operator).patch(f"{ENGINES}tiny/", {field: before, "debug": True}, content_type=JSON)
    assert same.status_code == 200
    assert (
        signed_in(operator).post(ENGINES, {"name": "b", "model": "m", field: value}, content_type=JSON).status_code
        == 400
    )

    typed = value if isinstance(value, str) else json.dumps(value)
    signed_in(operator).post(page(engine), {**FORM, "max_restarts": "1", field: typed})
    row = Engine.objects.get()
    assert (getattr(row, field), row.max_restarts) == (before, 1)

    launcher = make_user("launcher", permissions=["launcher.change_engine", "launcher.launch_engine"])
    signed_in(launcher).post(page(engine), {**FORM, field: typed})
    assert getattr(Engine.objects.get(), field) == value
    assert api.patch(f"{ENGINES}tiny/", {field: before}, content_type=JSON).status_code == 200


def test_an_engine_is_added_without_the_permission(root: Client) -> None:
    client = signed_in(make_user("operator", permissions=["launcher.change_engine", "launcher.add_engine"]))
    client.post(reverse("admin:launcher_engine_add"), FORM)
    assert Engine.objects.get().vllm_serve_env_vars == {"VLLM_RAY_DP_PACK_STRATEGY": "strict"}
