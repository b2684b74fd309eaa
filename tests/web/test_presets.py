"""Presets in the admin and the control API, and the warnings of an engine that its profile contradicts."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from endpoints.models import ConfigProfile
from launcher.models import Engine
from launcher.presets import PRESETS
from tests.web.surfaces import JSON, control_client, make_engine, make_profile, make_user, signed_in, text

pytestmark = pytest.mark.django_db

PAGE, OFFERS, CREATE = "/admin/presets/", "/api/v1/presets/", "/api/v1/engines/from-preset/"
SMALL = "qwen3-4b-instruct"  # the one that runs on CPU too
MAY = ["launcher.view_engine", "launcher.change_engine", "launcher.add_engine"]


@pytest.fixture
def api() -> Client:
    return control_client()


def test_the_api_lists_them_and_makes_one(api: Client) -> None:
    offers = {offer["name"]: offer for offer in api.get(OFFERS).json()}
    assert [*offers] == [*PRESETS]
    assert (offers[SMALL]["model"], offers[SMALL]["refusal"]) == (PRESETS[SMALL].model, "")
    created = api.post(CREATE, {"preset": SMALL, "name": "mine", "profile": "chat"}, content_type=JSON)
    assert created.status_code == 201
    shown = created.json()
    assert (shown["name"], shown["profiles"], shown["state"], shown["warnings"]) == ("mine", ["chat"], "stopped", [])
    assert api.get("/api/v1/engines/mine/").json() == shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "preset"),
        ({"preset": "nothing"}, "preset"),
        ({"preset": SMALL, "name": "taken"}, "name"),
        ({"preset": SMALL, "name": "free", "profile": "taken"}, "profile"),
        ({"preset": SMALL, "model": "org/other"}, "model"),
    ],
)
def test_the_api_names_what_it_refuses(body: dict[str, str], field: str, api: Client) -> None:
    make_profile("taken")
    refused = api.post(CREATE, body, content_type=JSON)
    assert (refused.status_code, [*refused.json()]) == (400, [field])
    assert not Engine.objects.exists()


def test_where_the_cluster_is_silent_nothing_is_made(api: Client, settings: Settings) -> None:
    settings.RAY_ADDRESS = "http://127.0.0.1:9"
    assert api.post(CREATE, {"preset": SMALL}, content_type=JSON).status_code == 409
    assert {offer["gpus"] for offer in api.get(OFFERS).json()} == {None}
    root = signed_in(make_user("root", superuser=True))
    assert "The cluster does not answer" in text(root.get(PAGE))
    assert "Nothing was made." in text(root.post(PAGE, {"preset": SMALL}, follow=True))


def test_it_takes_the_permission_to_add_both() -> None:
    half = signed_in(make_user("ann", permissions=MAY))
    assert half.post(CREATE, {"preset": SMALL}, content_type=JSON).status_code == 403
    assert half.get(PAGE).status_code == 403
    assert "Create from preset" not in text(half.get(reverse("admin:launcher_engine_changelist")))
    both = signed_in(make_user("bob", permissions=[*MAY, "endpoints.add_configprofile"]))
    assert "Create from preset" in text(both.get(reverse("admin:launcher_engine_changelist")))
    assert both.post(CREATE, {"preset": SMALL}, content_type=JSON).status_code == 201


def test_the_page_makes_one_and_goes_on_to_it() -> None:
    root = signed_in(make_user("root", superuser=True))
    page = text(root.get(PAGE))
    assert all(preset.model in page for preset in PRESETS.values())
    answer = root.post(PAGE, {"preset": SMALL}, follow=True)
    engine = Engine.objects.get()
    assert answer.redirect_chain == [(reverse("admin:launcher_engine_change", args=[engine.pk]), 302)]
    assert "Press Start to launch it." in text(answer)
    again = root.post(PAGE, {"preset": SMALL}, follow=True)
    assert "already exists" in text(again)
    assert (Engine.objects.count(), ConfigProfile.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("name", "profile", "field", "said"),
    [
        ("taken-engine", "free", "name", "Engine with this Name already exists."),
        ("Not A Name", "free", "name", "Use small letters"),
        ("free", "taken", "profile", "already exists"),
        ("taken", "", "name", "already exists"),  # the profile would be called so
    ],
)
def test_the_form_says_which_name_to_change(name: str, profile: str, field: str, said: str) -> None:
    make_engine("taken-engine")
    make_profile("taken")
    root = signed_in(make_user("root", superuser=True))
    assert f'name="name" value="{SMALL}"' in text(root.get(PAGE, {"preset": SMALL}))
    refused = root.post(PAGE, {"preset": SMALL, "name": name, "profile": profile})
    assert refused.status_code == 200
    assert said in refused.context["form"].errors[field][0]
    assert said in text(refused)
    assert f'value="{name}"' in text(refused)
    assert Engine.objects.count() == 1
    root.post(PAGE, {"preset": SMALL, "name": "free", "profile": "free-too"})
    assert Engine.objects.get(name="free").profiles.get().name == "free-too"


def test_a_contradiction_is_shown_on_the_engines_page_and_in_the_api(api: Client) -> None:
    sizes = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}
    engine = make_engine("tiny", vllm_serve_kwargs={**sizes, "reasoning_parser": "qwen3"})
    engine.profiles.add(make_profile("plain", uses_reasoning_parser=False))
    (warning,) = api.get("/api/v1/engines/tiny/").json()["warnings"]
    assert warning.startswith("Profile plain passes text through as it is")
    page = text(signed_in(make_user("root", superuser=True)).get(f"/admin/launcher/engine/{engine.pk}/change/"))
    assert "Profile plain passes text through as it is" in page
