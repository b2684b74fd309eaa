"""What a response leaves behind for the next one: chains, references, and the session that they stay in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from endpoints.models import ApiKey
from responses_api.models import ResponseRecord, StoredResponse
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def answered(site: Site, given: Any = "hi", **request: Any) -> dict[str, Any]:
    response = site.ask(given, **request)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def heard(site: Site) -> list[tuple[str, Any]]:
    """Return what the engine was told last: roles and texts."""
    return [(message["role"], text_of(message["content"])) for message in site.engine.chats[-1]["messages"]]


def text_of(content: Any) -> Any:
    return content if isinstance(content, str) or content is None else "".join(part["text"] for part in content)


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def test_a_response_is_stored_unless_the_caller_says_not_to(site: Site) -> None:
    kept, plain, not_kept = answered(site), answered(site, store=True), answered(site, store=False)
    assert (kept["store"], plain["store"], not_kept["store"]) == (True, True, False)
    assert {*StoredResponse.objects.values_list("response_id", flat=True)} == {kept["id"], plain["id"]}
    row = StoredResponse.objects.get(response_id=kept["id"])
    assert (row.caller_name, row.profile_name, row.status) == ("caller", "tiny", "completed")
    assert row.expires_at is not None
    assert row.expires_at - row.created_at == timedelta(days=30)


def test_what_is_continued_stands_before_the_new_input_and_stays_in_its_session(site: Site) -> None:
    first = answered(site, "My name is Ada.", instructions="Be brief.")
    second = answered(site, [{"role": "user", "content": "And yours?"}], previous_response_id=first["id"])
    assert heard(site) == [
        ("user", "My name is Ada."),
        ("assistant", "echo: My name is Ada."),
        ("user", "And yours?"),
    ]
    assert second["previous_response_id"] == first["id"]
    third = answered(site, "Bye.", previous_response_id=second["id"], instructions="Be kind.")
    assert heard(site) == [
        ("system", "Be kind."),
        ("user", "My name is Ada."),
        ("assistant", "echo: My name is Ada."),
        ("user", "And yours?"),
        ("assistant", "echo: And yours?"),
        ("user", "Bye."),
    ]
    sessions = ResponseRecord.objects.filter(response_id__in=[first["id"], second["id"], third["id"]])
    assert sessions.values("session").distinct().count() == 1


def test_what_is_continued_may_be_all_that_is_said(site: Site) -> None:
    first = answered(site, "My name is Ada.")
    said = [("user", "My name is Ada."), ("assistant", "echo: My name is Ada.")]
    with site.client() as client:
        for given in ({}, {"input": None}):
            body = {"model": "tiny", "previous_response_id": first["id"], **given}
            second = client.post("/responses", json=body).json()
            assert (second["status"], heard(site)) == ("completed", said)
        listed = client.get(f"/responses/{second['id']}/input_items").json()
        made = client.post("/conversations", json={"items": [{"role": "user", "content": "My name is Ada."}]}).json()
        third = client.post("/responses", json={"model": "tiny", "conversation": made["id"]}).json()
        assert (third["status"], heard(site)) == ("completed", said[:1])
        assert refusal(client.post("/responses", json={"model": "tiny", "instructions": "Go on."})) == (
            400,
            "missing_required_parameter",
            "input",
        )
    assert (listed["data"], listed["has_more"]) == ([], False)


def test_a_streamed_response_is_continued_like_any_other(site: Site) -> None:
    with site.openai() as client, client.responses.stream(model="tiny", input="My name is Ada.") as stream:
        first = stream.get_final_response()
    assert StoredResponse.objects.get().response_id == first.id
    answered(site, "Who am I?", previous_response_id=first.id)
    assert heard(site)[0] == ("user", "My name is Ada.")
    assert len(heard(site)) == 3


def test_a_branch_knows_nothing_of_the_other(site: Site) -> None:
    root = answered(site, "root")
    answered(site, "left", previous_response_id=root["id"])
    answered(site, "right", previous_response_id=root["id"])
    assert [text for _, text in heard(site)] == ["root", "echo: root", "right"]


def test_a_call_is_answered_in_the_next_turn(site: Site) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    site.engine.script.append(Step(message={"content": None, "tool_calls": [call]}, finish_reason="tool_calls"))
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
    first = answered(site, "What is it like?", tools=[tool])
    (made,) = [item for item in first["output"] if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": made["call_id"], "output": "sunny"}
    answered(site, [result], previous_response_id=first["id"], tools=[tool])
    roles = [role for role, _ in heard(site)]
    assert roles == ["user", "assistant", "tool"]
    orphan = site.ask([result], previous_response_id=answered(site)["id"])
    assert orphan.status_code == 400


def test_what_cannot_be_continued_is_not_found(site: Site) -> None:
    _, other_key = ApiKey.issue(name="other")
    site.refresh()
    not_kept, foreign = answered(site, store=False), answered(site)
    expired, gone, middle = answered(site), answered(site), answered(site)
    end = answered(site, previous_response_id=middle["id"])
    past = datetime.now(UTC) - timedelta(seconds=1)
    StoredResponse.objects.filter(response_id=expired["id"]).update(expires_at=past)
    StoredResponse.objects.filter(response_id__in=[gone["id"], middle["id"]]).delete()
    bearer = {"authorization": f"Bearer {other_key}"}
    asked = [
        site.ask(previous_response_id="resp_0"),
        site.ask(previous_response_id=""),
        site.ask(previous_response_id=not_kept["id"]),
        site.ask(previous_response_id=expired["id"]),
        site.ask(previous_response_id=gone["id"]),
        site.ask(previous_response_id=end["id"]),
        site.ask(previous_response_id=foreign["id"], headers=bearer),
    ]
    assert {refusal(response) for response in asked} == {(404, "previous_response_not_found", "previous_response_id")}
    assert middle["id"] in asked[5].json()["error"]["message"]
    assert len(site.engine.chats) == 6
    assert ResponseRecord.objects.filter(error_code="previous_response_not_found").count() == 7


def test_what_failed_cannot_be_continued(site: Site) -> None:
    site.engine.script.append(Step(finish_reason="abort"))
    failed = site.ask().json()
    assert failed["status"] == "failed"
    response = site.ask(previous_response_id=failed["id"])
    assert refusal(response) == (400, "invalid_value", "previous_response_id")
    assert "'failed'" in response.json()["error"]["message"]


def test_what_was_cut_off_can(site: Site) -> None:
    site.engine.script.append(Step(finish_reason="length"))
    cut = answered(site, "tell me")
    assert cut["status"] == "incomplete"
    answered(site, "go on", previous_response_id=cut["id"])
    assert [text for _, text in heard(site)] == ["tell me", "echo: tell me", "go on"]


def test_items_are_found_by_their_ids(site: Site) -> None:
    site.engine.script.append(Step(message={"reasoning": "hm", "content": "Ada it is."}))
    given = {"type": "message", "id": "msg_mine", "role": "user", "content": "My name is Ada."}
    with site.client(x_session_id="mine") as client:
        first = client.post("/responses", json={"model": "tiny", "input": [given]}).json()
    references: list[dict[str, Any]] = [
        {"type": "item_reference", "id": "msg_mine"},
        *({"type": "item_reference", "id": item["id"]} for item in first["output"]),
        {"role": "user", "content": "Who am I?"},
    ]
    response = site.ask(references)
    assert response.headers["x-session-id"] == "mine"
    assert heard(site) == [("user", "My name is Ada."), ("assistant", "Ada it is."), ("user", "Who am I?")]
    stored = StoredResponse.objects.get(response_id=response.json()["id"])
    assert b"item_reference" not in bytes(stored.input)
    with site.client() as client:
        listed = client.get(f"/responses/{first['id']}/input_items")
    if listed.status_code == 200:
        assert [item["id"] for item in listed.json()["data"]] == ["msg_mine"]


@pytest.mark.parametrize("item_id", ["msg_nobodys", f"msg_{'0' * 32}0001", "x", ""])
def test_an_item_that_is_not_there_is_named(site: Site, item_id: str) -> None:
    response = site.ask([{"role": "user", "content": "hi"}, {"type": "item_reference", "id": item_id}])
    assert refusal(response) == (404, "item_not_found", "input[1].id")
    assert f"Item with id '{item_id}' not found." in response.json()["error"]["message"]


def test_items_of_another_caller_are_not_there(site: Site) -> None:
    _, other_key = ApiKey.issue(name="other")
    site.refresh()
    item = answered(site)["output"][0]
    bearer = {"authorization": f"Bearer {other_key}"}
    response = site.ask([{"type": "item_reference", "id": item["id"]}], headers=bearer)
    assert refusal(response) == (404, "item_not_found", "input[0].id")


def test_any_process_continues_it(site: Site) -> None:
    first = answered(site, "My name is Ada.")
    with Site.another(site) as other:
        answered(other, "Who am I?", previous_response_id=first["id"])
    assert len(heard(site)) == 3


def test_a_server_may_store_nothing(settings: Settings) -> None:
    settings.STORE_RESPONSES = False
    with running() as site:
        answer = answered(site, store=True)
        assert answer["store"] is False
        assert not StoredResponse.objects.exists()
        assert refusal(site.ask(background=True)) == (400, "invalid_value", "background")
        assert site.ask(previous_response_id=answer["id"]).status_code == 404
        with site.client() as client:
            assert client.post("/conversations", json={}).status_code == 400


def test_what_is_stored_for_ever_has_no_end(settings: Settings) -> None:
    settings.STORE_DAYS = 0
    with running() as site:
        answered(site)
    assert StoredResponse.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
        ({"conversation": {"name": "x"}}, "conversation"),
        ({"background": True, "store": False}, "background"),
        ({"conversation": "conv_1", "store": False}, "conversation"),
    ],
)
def test_what_makes_no_sense_together_is_refused(site: Site, request_fields: dict[str, Any], param: str) -> None:
    assert refusal(site.ask(**request_fields)) == (400, "invalid_value", param)


def test_other_words_for_a_session_are_understood(site: Site) -> None:
    keys = [
        site.ask(**fields).headers["x-session-id"]
        for fields in (
            {"prompt_cache_key": "thread-1"},
            {"metadata": {"session_id": "run-1"}},
            {"prompt_cache_key": "thread-1", "metadata": {"session_id": "run-1"}},
            {"prompt_cache_key": "x" * 300},
        )
    ]
    assert keys[:3] == ["thread-1", "run-1", "thread-1"]
    assert len(keys[3]) == 64
    with site.client() as client:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "prompt_cache_key": "thread-1"}
        assert client.post("/chat/completions", json=body).headers["x-session-id"] == "thread-1"
