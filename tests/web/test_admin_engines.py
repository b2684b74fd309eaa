"""The admin pages of engines: Start and Stop, state that is shown, settings that are checked."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from endpoints.models import Endpoint
from launcher import queries
from launcher.advice import NEXT_STEP, next_step
from launcher.models import Engine, EngineEvent
from launcher.states import Desired, State
from tests.web.surfaces import make_endpoint, make_engine, make_user, put_in_state, signed_in, text

pytestmark = pytest.mark.django_db

SIZES = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}
FORM = {
    "name": "tiny",
    "model": "org/model",
    "device": "cpu",
    "vllm_serve_kwargs": json.dumps(SIZES),
    "vllm_serve_env_vars": '{"VLLM_RAY_DP_PACK_STRATEGY": "strict"}',
    "restart_policy": "on_failure",
    "max_restarts": "5",
    "startup_timeout_seconds": "600",
    "drain_seconds": "5",
}


@pytest.fixture
def root() -> Client:
    return signed_in(make_user("root", superuser=True))


def page(engine: Engine) -> str:
    return reverse("admin:launcher_engine_change", args=[engine.pk])


def press(client: Client, engine: Engine, button: str, **more: Any) -> Any:
    return client.post(reverse(f"admin:launcher_engine_{button}", args=[engine.pk]), **more)


def test_every_state_has_a_next_step() -> None:
    for state in State:
        for desired in Desired:
            assert (next_step(state, desired) == "") == (state == State.READY and desired == Desired.RUNNING)
    assert len(NEXT_STEP) == len(State) * len(Desired)


def test_an_added_engine_is_stopped_and_its_page_says_press_start(root: Client) -> None:
    answer = root.post(reverse("admin:launcher_engine_add"), FORM, follow=True)
    engine = Engine.objects.get()
    assert answer.redirect_chain == [(page(engine), 302)]
    assert (engine.desired_state, engine.state) == (Desired.STOPPED, State.STOPPED)
    assert "Engine tiny is stopped. Press Start to launch it." in text(answer)
    assert reverse("admin:launcher_engine_start", args=[engine.pk]) in text(answer)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("vllm_serve_kwargs", '{"data_parallel_size": 1, "tensor_parallel_size": 1}', "pipeline_parallel_size"),
        ("vllm_serve_kwargs", json.dumps({**SIZES, "host": "0.0.0.0"}), "host"),
        ("vllm_serve_kwargs", json.dumps({**SIZES, "download-dir": "/x"}), "download-dir"),
        ("vllm_serve_env_vars", "{}", "VLLM_RAY_DP_PACK_STRATEGY"),
        ("vllm_serve_env_vars", '{"VLLM_RAY_DP_PACK_STRATEGY": "strict", "VLLM_API_KEY": "x"}', "VLLM_API_KEY"),
        ("vllm_serve_kwargs", "{", "not valid JSON"),
        ("vllm_serve_kwargs", "", "required"),
        ("name", "Tiny Engine", "small letters"),
        ("model", "", "required"),
    ],
)
def test_what_a_launch_would_refuse_is_named_on_its_field(root: Client, field: str, value: str, named: str) -> None:
    answer = root.post(reverse("admin:launcher_engine_add"), {**FORM, field: value})
    found = answer.context["adminform"].form.errors
    assert found.keys() == {field}
    assert named in " ".join(found[field])
    assert not Engine.objects.exists()


def test_bad_json_in_one_field_hides_no_problem_of_the_other(root: Client) -> None:
    form = {**FORM, "vllm_serve_kwargs": json.dumps({**SIZES, "port": 1}), "vllm_serve_env_vars": "{"}
    found = root.post(reverse("admin:launcher_engine_add"), form).context["adminform"].form.errors
    assert found.keys() == {"vllm_serve_kwargs", "vllm_serve_env_vars"}
    assert "port" in found["vllm_serve_kwargs"][0]


def test_start_and_stop_write_the_wish_and_the_history(root: Client) -> None:
    engine = make_engine()
    started = press(root, engine, "start", follow=True)
    assert started.redirect_chain == [(page(engine), 302)]
    assert "Engine tiny is wanted" in text(started)
    assert Engine.objects.get().desired_state == Desired.RUNNING
    assert "nothing changed" in text(press(root, engine, "start", follow=True))
    assert "not wanted any more" in text(press(root, engine, "stop", follow=True))
    assert Engine.objects.get().desired_state == Desired.STOPPED
    assert "nothing changed" in text(press(root, engine, "stop", follow=True))
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == ["Pressed Start.", "Pressed Stop."]


@pytest.mark.parametrize("button", ["start", "stop"])
def test_a_link_that_is_fetched_ahead_starts_and_stops_nothing(root: Client, button: str) -> None:
    engine = make_engine()
    assert root.get(reverse(f"admin:launcher_engine_{button}", args=[engine.pk])).status_code == 405
    assert Engine.objects.get().desired_at is None


@pytest.mark.parametrize("button", ["start", "stop"])
def test_a_button_needs_a_csrf_token(button: str) -> None:
    engine = make_engine()
    browser = signed_in(make_user("root", superuser=True), enforce_csrf_checks=True)
    assert press(browser, engine, button).status_code == 403
    assert Engine.objects.get().desired_at is None


@pytest.mark.parametrize("button", ["start", "stop"])
def test_who_may_only_view_sees_no_button_and_presses_none(button: str) -> None:
    engine = put_in_state(make_engine(), State.FAILED)
    viewer = signed_in(make_user("viewer", permissions=["launcher.view_engine"]))
    shown = text(viewer.get(page(engine)))
    assert "failed" in shown
    assert reverse(f"admin:launcher_engine_{button}", args=[engine.pk]) not in shown
    url = reverse(f"admin:launcher_engine_{button}", args=[engine.pk])
    assert viewer.get(url).status_code == 403
    assert viewer.post(url).status_code == 403
    assert "start_selected" not in text(viewer.get(reverse("admin:launcher_engine_changelist")))
    selected = {"action": f"{button}_selected", "_selected_action": [engine.pk]}
    viewer.post(reverse("admin:launcher_engine_changelist"), selected)
    assert Engine.objects.get().desired_at is None


def test_a_stranger_is_sent_to_the_login(client: Client) -> None:
    engine = make_engine()
    assert press(client, engine, "start").headers["Location"].startswith("/admin/login/")
    assert Engine.objects.get().desired_at is None


def test_a_button_of_an_engine_that_is_gone_leads_home(root: Client) -> None:
    answer = root.post(reverse("admin:launcher_engine_start", args=[4711]), follow=True)
    assert "4711" in text(answer)


def test_an_engine_that_cannot_be_launched_is_not_started_and_says_why(root: Client) -> None:
    engine = make_engine(vllm_serve_kwargs={})
    answer = press(root, engine, "start", follow=True)
    assert "tensor_parallel_size is missing" in text(answer)
    assert Engine.objects.get().desired_state == Desired.STOPPED


def test_list_actions_say_how_many_engines_changed(root: Client) -> None:
    stopped, running = make_engine("a"), put_in_state(make_engine("b"), State.READY)
    broken = make_engine("c", vllm_serve_kwargs={})
    answer = root.post(
        reverse("admin:launcher_engine_changelist"),
        {"action": "start_selected", "_selected_action": [stopped.pk, running.pk, broken.pk]},
        follow=True,
    )
    assert "1 of 3 engines asked to start" in text(answer)
    assert "Engine c cannot be started" in text(answer)
    assert dict(Engine.objects.values_list("name", "desired_state")) == {"a": "running", "b": "running", "c": "stopped"}
    answer = root.post(
        reverse("admin:launcher_engine_changelist"),
        {"action": "stop_selected", "_selected_action": [stopped.pk, running.pk]},
        follow=True,
    )
    assert "2 of 2 engines asked to stop" in text(answer)
    assert set(Engine.objects.values_list("desired_state", flat=True)) == {"stopped"}


@pytest.mark.parametrize(
    ("state", "desired", "start", "stop"),
    [
        (State.STOPPED, Desired.STOPPED, True, False),
        (State.STARTING, Desired.RUNNING, False, True),
        (State.READY, Desired.RUNNING, False, True),
        (State.FAILED, Desired.RUNNING, True, True),
        (State.STOPPING, Desired.STOPPED, True, False),
    ],
)
def test_the_page_has_the_buttons_that_do_something(
    root: Client, state: State, desired: Desired, start: bool, stop: bool
) -> None:
    engine = put_in_state(make_engine(), state, desired)
    shown = text(root.get(page(engine)))
    assert (reverse("admin:launcher_engine_start", args=[engine.pk]) in shown) == start
    assert (reverse("admin:launcher_engine_stop", args=[engine.pk]) in shown) == stop


def test_the_page_shows_state_cause_log_events_and_endpoint(root: Client) -> None:
    endpoint = make_endpoint("tiny", health="unhealthy")
    engine = put_in_state(
        make_engine(endpoint=endpoint, api_key="sk-engine"),
        State.FAILED,
        state_reason="The process ended with code 1.",
        log_tail="RuntimeError: <boom>",
        base_url="http://127.0.0.1:4321/v1",
        generation=2,
        failures=2,
    )
    for number in range(12):
        EngineEvent.objects.create(engine=engine, old="starting", new="failed", reason=f"attempt {number} failed")
    shown = text(root.get(page(engine)))
    for part in (
        "The process ended with code 1.",
        "RuntimeError: &lt;boom&gt;",
        "http://127.0.0.1:4321/v1",
        engine.submission_id,
        "2 of 5",
        "press Start to try again",
        reverse("admin:endpoints_endpoint_change", args=[endpoint.pk]),
        "attempt 11 failed",
    ):
        assert part in shown
    assert "attempt 1 failed" not in shown  # the newest ten alone
    assert "sk-engine" not in shown


def test_state_and_name_are_not_written_by_the_form(root: Client) -> None:
    engine = make_engine()
    launched = queries.digests(engine)
    put_in_state(engine, State.READY, generation=3, base_url="http://127.0.0.1:20001/v1", launched=launched)
    answer = root.post(
        page(engine),
        {
            **FORM,
            "device": "auto",
            "name": "other",
            "debug": "on",
            "state": "stopped",
            "desired_state": "stopped",
            "generation": "9",
        },
        follow=True,
    )
    assert "Engine tiny is ready: Restart applies debug." in text(answer)
    row = Engine.objects.get()
    assert (row.name, row.state, row.desired_state, row.generation) == ("tiny", State.READY, Desired.RUNNING, 3)
    assert row.debug is True


def test_saving_writes_what_was_changed_alone(root: Client) -> None:
    engine = make_engine(device="cpu", startup_timeout_seconds=600)
    with CaptureQueriesContext(connection) as queries:
        root.post(page(engine), {**FORM, "max_restarts": "1"})
    (update,) = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "launcher_engine"')]
    assert "max_restarts" in update
    assert "state" not in update
    assert "vllm_serve_kwargs" not in update


def test_a_running_engine_is_not_deleted_and_the_page_says_why(root: Client) -> None:
    engine = put_in_state(make_engine(endpoint=make_endpoint("tiny")), State.READY)
    url = reverse("admin:launcher_engine_delete", args=[engine.pk])
    for answer in (root.get(url, follow=True), root.post(url, {"post": "yes"}, follow=True)):
        assert answer.redirect_chain == [(page(engine), 302)]
        assert "Press Stop, wait until it is stopped, then delete it;" in text(answer)
    assert Engine.objects.exists()


def test_a_stopped_engine_is_deleted_with_its_endpoint_and_events(root: Client) -> None:
    engine = make_engine(endpoint=make_endpoint("tiny"))
    EngineEvent.objects.create(engine=engine, old="stopped", new="pending")
    url = reverse("admin:launcher_engine_delete", args=[engine.pk])
    assert "Endpoint tiny" in text(root.get(url))
    assert root.post(url, {"post": "yes"}).status_code == 302
    assert not Engine.objects.exists()
    assert not Endpoint.objects.exists()


def test_engines_are_not_deleted_from_the_list(root: Client) -> None:
    engine = make_engine()
    assert "delete_selected" not in text(root.get(reverse("admin:launcher_engine_changelist")))
    root.post(
        reverse("admin:launcher_engine_changelist"),
        {"action": "delete_selected", "_selected_action": [engine.pk], "post": "yes"},
    )
    assert Engine.objects.exists()


def test_the_list_shows_state_and_reason(root: Client) -> None:
    put_in_state(make_engine("bad"), State.FAILED, state_reason="CUDA out of memory")
    put_in_state(make_engine("slow"), State.STARTING, phase="loading shard 3 of 8", state_reason="The job runs.")
    shown = text(root.get(reverse("admin:launcher_engine_changelist")))
    assert "CUDA out of memory" in shown
    assert "loading shard 3 of 8" in shown
