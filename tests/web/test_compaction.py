"""POST /v1/responses/compact, and what becomes of a compaction that comes back."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from endpoints.models import ApiKey
from responses_api.convert.compaction import PROMPT
from responses_api.models import ResponseRecord
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running
from tests.web.sockets import socket

pytestmark = pytest.mark.django_db(transaction=True)

SUMMARY = Step(message={"content": "<think>hm</think>The launch is on Tuesday."})
TALK: Any = [
    {"type": "message", "role": "user", "content": "We launch on Tuesday."},
    {"type": "message", "role": "assistant", "content": "Understood."},
]


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def compact(site: Site, **request: Any) -> httpx.Response:
    with site.client() as client:
        return client.post("/responses/compact", json={"model": "tiny", "input": TALK, **request})


def test_a_summary_comes_back_under_seal_and_is_read_when_it_returns(site: Site) -> None:
    site.engine.script.append(SUMMARY)
    answer = compact(site, instructions="Be brief.", prompt_cache_key="k", prompt_cache_options={"mode": "explicit"})
    body = answer.json()
    assert (answer.status_code, body["object"]) == (200, "response.compaction")
    (item,) = body["output"]
    assert item["type"] == "compaction"
    assert "Tuesday" not in item["encrypted_content"]
    asked = site.engine.chats[0]["messages"]
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "user"]
    assert asked[-1]["content"] == PROMPT
    row = ResponseRecord.objects.get()
    assert (row.api, row.status, row.empty_cause, row.response_id) == ("compact", "completed", "", body["id"])
    site.ask([item, {"role": "user", "content": "When?"}])
    first, second = site.engine.chats[1]["messages"]
    assert first["content"].endswith("The launch is on Tuesday.")
    assert second["content"] == "When?"


def test_a_new_chain_over_a_websocket_begins_with_a_summary(site: Site) -> None:
    site.engine.script.append(SUMMARY)
    output = compact(site).json()["output"]
    with socket(site) as mine:
        first = mine.ask([*output, {"role": "user", "content": "When?"}], store=False)
        mine.ask("Sure?", store=False, previous_response_id=first["id"])
    assert "Tuesday" in site.engine.chats[2]["messages"][0]["content"]


def test_nobody_else_can_read_or_change_it(site: Site) -> None:
    site.engine.script.append(SUMMARY)
    item = compact(site).json()["output"][0]
    sealed = item["encrypted_content"]
    for spoilt in ("", "x", "é", "AAAA", sealed[:-4], sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]):
        answer = site.ask([{"role": "user", "content": "hi"}, {**item, "encrypted_content": spoilt}])
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input[1].encrypted_content")
    _, site.key = ApiKey.issue(name="another")
    site.refresh()
    assert site.ask([item]).json()["error"]["code"] == "invalid_encrypted_content"


@pytest.mark.parametrize(
    ("request_", "status", "param"),
    [
        ({"model": None}, 400, "model"),
        ({"input": None}, 400, "input"),
        ({"input": [{"type": "nonsense"}]}, 400, "input[0].type"),
        ({"temperature": 1}, 400, "temperature"),
        ({"model": "nope"}, 404, "model"),
        ({"input": None, "previous_response_id": "resp_unknown"}, 404, "previous_response_id"),
    ],
)
def test_what_cannot_be_compacted_is_refused(site: Site, request_: Any, status: int, param: str) -> None:
    answer = compact(site, **request_)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_without_a_model_it_is_refused(site: Site) -> None:
    with site.client() as client:
        answer = client.post("/responses/compact", json={"input": TALK})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


def test_no_summary_is_an_error_and_so_is_a_conversation_that_does_not_fit(site: Site) -> None:
    site.engine.script.append(Step(message={"content": None, "reasoning": "hm"}))
    assert compact(site).status_code == 502
    answer = compact(site, input="word " * 3000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_openais_client_compacts(site: Site) -> None:
    site.engine.script.append(SUMMARY)
    with site.openai() as client:
        compacted = client.responses.compact(model="tiny", input=TALK)
        again: Any = [*(item.model_dump(exclude_none=True) for item in compacted.output)]
        client.responses.create(model="tiny", input=[*again, {"role": "user", "content": "When?"}])
    assert "Tuesday" in site.engine.chats[1]["messages"][0]["content"]
