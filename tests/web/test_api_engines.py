"""The control API for engines: settings in, state out, start and stop."""

from typing import Any

import pytest
from django.test import Client

from endpoints.models import Endpoint
from launcher.models import Engine, EngineEvent
from launcher.serializers import EngineSerializer
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
)

pytestmark = pytest.mark.django_db

ENGINES = "/api/v1/engines/"
SIZES = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}


@pytest.fixture
def api() -> Client:
    return control_client()


def test_an_engine_is_created_stopped(api: Client) -> None:
    make_profile("tiny")
    body = {
        "name": "tiny",
        "model": "/models/tiny",
        "profiles": ["tiny"],
        "device": "cpu",
        "vllm_serve_kwargs": {**SIZES, "max_model_len": 2048},
    }
    created = api.post(ENGINES, body, content_type=JSON)
    assert created.status_code == 201
    shown = created.json()
    assert (shown["desired_state"], shown["state"], shown["generation"]) == ("stopped", "stopped", 0)
    assert shown["profiles"] == ["tiny"]
    assert shown["endpoint"] is None
    assert shown["vllm_serve_env_vars"] == {"VLLM_RAY_DP_PACK_STRATEGY": "strict"}
    assert api.get(f"{ENGINES}tiny/").json() == shown


def test_the_body_of_an_engine_says_what_is_wanted_and_what_is(api: Client) -> None:
    engine = make_engine("tiny", endpoint=make_endpoint("tiny"), api_key="sk-engine")
    put_in_state(engine, State.FAILED, state_reason="CUDA out of memory", failures=2, generation=3, log_tail="boom")
    answer = api.get(f"{ENGINES}tiny/")
    shown = answer.json()
    assert (shown["desired_state"], shown["state"], shown["state_reason"]) == (
        "running",
        "failed",
        "CUDA out of memory",
    )
    assert (shown["failures"], shown["generation"], shown["log_tail"]) == (2, 3, "boom")
    assert shown["submission_id"] == engine.submission_id
    assert shown["endpoint"] == "tiny"
    assert "sk-engine" not in answer.content.decode()
    assert "api_key" not in shown


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("vllm_serve_kwargs", {"data_parallel_size": 1, "tensor_parallel_size": 1}, "pipeline_parallel_size"),
        ("vllm_serve_kwargs", {**SIZES, "port": 8000}, "port"),
        ("vllm_serve_kwargs", {**SIZES, "api-key": "x"}, "api-key"),
        ("vllm_serve_kwargs", [], "JSON object"),
        ("vllm_serve_env_vars", {}, "VLLM_RAY_DP_PACK_STRATEGY"),
        ("vllm_serve_env_vars", {"VLLM_RAY_DP_PACK_STRATEGY": "strict", "HF_HOME": "/x"}, "HF_HOME"),
        ("vllm_serve_env_vars", {"VLLM_RAY_DP_PACK_STRATEGY": 1}, "must be text"),
    ],
)
@pytest.mark.parametrize("method", ["post", "patch"])
def test_what_a_launch_would_refuse_is_refused_on_its_field(
    api: Client, method: str, field: str, value: object, named: str
) -> None:
    if method == "patch":
        make_engine("tiny")
        answer = api.patch(f"{ENGINES}tiny/", {field: value}, content_type=JSON)
    else:
        answer = api.post(ENGINES, {"name": "tiny", "model": "m", field: value}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {field}
    assert named in " ".join(answer.json()[field])


def test_start_and_stop_write_the_wish_and_may_be_repeated(api: Client) -> None:
    make_engine("tiny")
    for _ in range(2):
        answer = api.post(f"{ENGINES}tiny/start/")
        assert answer.status_code == 200
        assert (answer.json()["name"], answer.json()["desired_state"]) == ("tiny", "running")
    for _ in range(2):
        answer = api.post(f"{ENGINES}tiny/stop/", {}, content_type=JSON)
        assert (answer.status_code, answer.json()["desired_state"]) == (200, "stopped")


def test_an_engine_that_cannot_be_launched_is_not_started(api: Client) -> None:
    make_engine("tiny", vllm_serve_kwargs={"port": 1, **SIZES}, vllm_serve_env_vars={})
    answer = api.post(f"{ENGINES}tiny/start/")
    assert answer.status_code == 400
    assert "port" in answer.json()["vllm_serve_kwargs"][0]
    assert "VLLM_RAY_DP_PACK_STRATEGY" in answer.json()["vllm_serve_env_vars"][0]
    assert Engine.objects.get().desired_state == Desired.STOPPED


def test_start_takes_no_settings(api: Client) -> None:
    make_engine("tiny")
    answer = api.post(f"{ENGINES}tiny/start/", {"max_model_len": 5}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {"max_model_len"}
    assert api.post(f"{ENGINES}tiny/start/", [1], content_type=JSON).status_code == 400
    assert Engine.objects.get().desired_state == Desired.STOPPED


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_a_get_starts_and_stops_nothing(api: Client, verb: str) -> None:
    make_engine("tiny")
    assert api.get(f"{ENGINES}tiny/{verb}/").status_code == 405


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_starting_needs_the_permission_to_change(verb: str) -> None:
    put_in_state(make_engine("tiny"), State.STOPPED, Desired.STOPPED if verb == "start" else Desired.RUNNING)
    before = Engine.objects.get().desired_state
    viewer = signed_in(make_user("viewer", permissions=["launcher.view_engine", "launcher.add_engine"]))
    assert viewer.post(f"{ENGINES}tiny/{verb}/").status_code == 403
    assert Engine.objects.get().desired_state == before
    operator = signed_in(make_user("operator", permissions=["launcher.change_engine"]))
    assert operator.post(f"{ENGINES}tiny/{verb}/").status_code == 200
    assert Engine.objects.get().desired_state != before


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_an_engine_that_is_not_there_is_a_404(api: Client, verb: str) -> None:
    assert api.post(f"{ENGINES}nowhere/{verb}/").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"desired_state": "running"},
        {"state": "ready"},
        {"generation": 7},
        {"base_url": "http://x/v1"},
        {"name": "other"},
    ],
)
def test_state_wish_and_name_are_not_written_by_a_body(api: Client, body: dict[str, Any]) -> None:
    make_engine("tiny")
    answer = api.patch(f"{ENGINES}tiny/", body, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == body.keys()


def test_what_was_read_may_be_sent_back(api: Client) -> None:
    make_engine("tiny")
    read = api.get(f"{ENGINES}tiny/").json()
    answer = api.put(f"{ENGINES}tiny/", {**read, "debug": True}, content_type=JSON)
    assert (answer.status_code, answer.json()["debug"]) == (200, True)


def test_a_change_leaves_what_the_reconciler_wrote_meanwhile() -> None:
    read_before = make_engine("tiny")
    put_in_state(Engine.objects.get(), State.READY, generation=4)
    serializer = EngineSerializer(read_before, data={"debug": True}, partial=True)
    assert serializer.is_valid()
    serializer.save()
    row = Engine.objects.get()
    assert (row.state, row.generation, row.desired_state, row.debug) == (State.READY, 4, Desired.RUNNING, True)


def test_a_running_engine_is_not_deleted(api: Client) -> None:
    engine = put_in_state(make_engine("tiny"), State.READY)
    answer = api.delete(f"{ENGINES}tiny/")
    assert answer.status_code == 409
    assert "Stop it first" in answer.json()["detail"]
    put_in_state(engine, State.STOPPED, Desired.STOPPED, endpoint=make_endpoint("tiny"))
    assert api.delete(f"{ENGINES}tiny/").status_code == 204
    assert not Engine.objects.exists()
    assert not Endpoint.objects.exists()


def test_engines_are_filtered_by_state_and_wish(api: Client) -> None:
    put_in_state(make_engine("a"), State.READY)
    make_engine("b")
    assert [row["name"] for row in api.get(ENGINES, {"state": "ready"}).json()["results"]] == ["a"]
    assert [row["name"] for row in api.get(ENGINES, {"desired_state": "stopped"}).json()["results"]] == ["b"]
    assert api.get(ENGINES, {"state": "READY"}).status_code == 400


def test_events_come_newest_first_in_pages(api: Client) -> None:
    engine = make_engine("tiny")
    for number in range(101):
        EngineEvent.objects.create(engine=engine, old="stopped", new="pending", reason=f"reason {number}")
    first = api.get(f"{ENGINES}tiny/events/").json()
    assert (first["count"], first["results"][0]["reason"]) == (101, "reason 100")
    second = api.get(f"{ENGINES}tiny/events/", {"page": 2}).json()
    assert [event["reason"] for event in second["results"]] == ["reason 0"]
    assert api.get(f"{ENGINES}tiny/events/", {"page": "x"}).status_code == 404


@pytest.mark.parametrize("name", ["Tiny", "a b", "-x", "", "a/b", "x" * 64])
def test_an_engines_name_is_small_letters_digits_and_dashes(api: Client, name: str) -> None:
    answer = api.post(ENGINES, {"name": name, "model": "m"}, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json().keys() == {"name"}


def test_a_list_costs_the_same_queries_however_long_it_is(api: Client, django_assert_num_queries: Any) -> None:
    def make(name: str) -> None:
        engine = make_engine(name, endpoint=make_endpoint(name))
        engine.profiles.add(make_profile(name))

    make("a")
    with django_assert_num_queries(5):  # the key, the count, the engines, their profiles, their endpoints
        api.get(ENGINES)
    for name in "bcd":
        make(name)
    with django_assert_num_queries(5):
        api.get(ENGINES)
