"""Engines that speak Responses themselves: their answers leave as the gateway writes them."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import Response

from responses_api.models import ResponseRecord
from tests.contract.life import read_events
from tests.fakes.scripted_vllm import Agent, Step
from tests.web.gateway_server import Site, record, running
from tests.web.streams import ask

pytestmark = pytest.mark.django_db(transaction=True)

TOOL: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}
CALL = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
SAID = Step(message={"content": "Let me see.", "reasoning": "h m", "tool_calls": [CALL]})


@pytest.fixture
def site() -> Iterator[Site]:
    with running(is_responses_native=True) as started:
        yield started


def bodies(site: Site) -> list[dict[str, Any]]:
    """Return what the first engine was asked."""
    assert {seen.path for seen in site.engine.requests} == {"/v1/responses"}
    return [seen.body for seen in site.engine.requests]


def test_the_engine_is_asked_as_the_caller_asks(site: Site) -> None:
    response = site.ask("hi there", instructions="Be brief.", metadata={"a": "b"}, store=True, max_output_tokens=50)
    body = response.json()
    assert bodies(site) == [
        {
            "model": "tiny",
            "input": "hi there",
            "instructions": "Be brief.",
            "metadata": {"a": "b"},
            "max_output_tokens": 50,
            "store": False,
        }
    ]
    Response.model_validate(body)
    assert body["output"][0]["content"][0]["text"] == "echo: hi there"
    assert (body["status"], body["store"], body["max_output_tokens"]) == ("completed", True, 50)
    assert body["usage"]["input_tokens"] == 4
    row = record(response)
    assert (row.api, row.status, row.input_tokens, row.output_tokens, row.finish_reason) == (
        "responses",
        "completed",
        4,
        4,
        "stop",
    )


def test_whole_and_streamed_answers_say_the_same(site: Site) -> None:
    site.engine.script.extend([SAID, SAID])
    whole = site.ask(tools=[TOOL]).json()
    streamed = ask(site, tools=[TOOL])
    for answer in (whole, streamed.last):
        reasoning, message, call = answer["output"]
        assert reasoning["summary"] == [{"type": "summary_text", "text": "h m"}]
        assert message["content"][0]["text"] == "Let me see."
        assert (call["call_id"], call["name"], call["arguments"]) == ("call_7", "weather", '{"city": "Oslo"}')
    assert whole["usage"] == streamed.last["usage"]
    assert streamed.deltas == ["Let", " me", " see."]
    assert [row.finish_reason for row in ResponseRecord.objects.all()] == ["tool_calls"] * 2


def test_an_answer_that_is_cut_off_is_incomplete(site: Site) -> None:
    streamed = ask(site, "a b c", max_output_tokens=2)
    assert streamed.events[-1]["type"] == "response.incomplete"
    assert streamed.last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert streamed.last["output"][0]["status"] == "incomplete"
    whole = site.ask("a b c", max_output_tokens=2).json()
    assert (whole["status"], whole["output"][0]["status"]) == ("incomplete", "incomplete")


def test_openais_client_holds_a_conversation(site: Site) -> None:
    site.engine.agent = Agent(name="weather", arguments={"city": "Oslo"})
    with site.openai() as client:
        first = client.responses.create(model="tiny", input="Weather in Oslo?", tools=[TOOL])
        [call] = first.output
        assert call.type == "function_call"
        output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
        second = client.responses.create(model="tiny", input=output, tools=[TOOL], previous_response_id=first.id)
    assert second.output_text == "done: rain"
    sent = bodies(site)[1]
    assert "previous_response_id" not in sent
    assert [item["type"] for item in sent["input"]] == ["message", "function_call", "function_call_output"]


def test_an_output_without_its_call_is_refused(site: Site) -> None:
    response = site.ask([{"type": "function_call_output", "call_id": "call_9", "output": "x"}])
    assert (response.status_code, response.json()["error"]["param"]) == (400, "input[0].call_id")
    assert not site.engine.requests


SEARCH = {"type": "web_search_call", "id": "ws_9", "status": "completed", "action": {"type": "search", "query": "q"}}
TEXT = {"type": "output_text", "text": "found", "annotations": []}
MESSAGE = {"type": "message", "id": "msg_9", "role": "assistant", "status": "completed", "content": [TEXT]}
FOUND = {"id": "resp_9", "object": "response", "status": "completed", "output": [SEARCH, MESSAGE], "usage": None}


def test_calls_of_the_engines_own_tools_are_kept(site: Site) -> None:
    begun = {**FOUND, "status": "in_progress", "output": []}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**SEARCH, "status": "in_progress"}},
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_9"},
        {"type": "response.output_item.done", "output_index": 0, "item": SEARCH},
        {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE},
        {"type": "response.completed", "response": FOUND},
    ]
    site.engine.script.extend([Step(body=FOUND), Step(events=events)])
    request: Any = {"model": "tiny", "input": "hi", "tools": [{"type": "web_search"}]}
    with site.openai() as client:  # the contract knows no such items; OpenAI does
        whole = client.responses.create(**request)
        with client.responses.stream(**request) as stream:
            kinds = [event.type for event in stream]
            streamed = stream.get_final_response()
    for response in (whole, streamed):
        output: list[Any] = [*response.output]
        assert [item.type for item in output] == ["web_search_call", "message"]
        assert output[0].id != "ws_9"  # ours, by which it can be referred to
        assert response.output_text == "found"
    assert kinds.count("response.output_item.done") == 2
    assert bodies(site)[0]["tools"] == [{"type": "web_search"}]
    again = site.ask("and?", previous_response_id=whole.id)
    assert again.status_code == 200
    kinds = [item["type"] for item in bodies(site)[2]["input"]]
    assert kinds == ["message", "function_call", "function_call_output", "message", "message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_an_empty_answer(site: Site, stream: bool) -> None:
    body = ask(site, "word " * 3000).last if stream else site.ask("word " * 3000).json()
    assert (body["status"], body["output"][0]["content"][0]["text"], body["usage"]) == ("incomplete", "", None)
    row = ResponseRecord.objects.get()
    assert (row.empty_cause, row.input_tokens) == ("context_overflow", 3000)


DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "kept"}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(break_off="middle"), "broke the connection off"),
        (Step(events=[DELTA]), "in the middle"),
        (Step(events=[DELTA, "data: <html>\n\n"]), "not an event of a response"),
        (Step(events=[DELTA, {"type": "error", "error": {"message": "CUDA error"}}]), "CUDA error"),
        (Step(events=[DELTA, {"type": "response.failed", "response": {"error": {"message": "it fell"}}}]), "it fell"),
    ],
)
def test_a_stream_that_breaks_ends_as_failed(site: Site, step: Step, message: str) -> None:
    site.engine.script.append(step)
    response = site.ask("a b c", stream=True)
    last = read_events(response.content)[-1]
    assert last["type"] == "response.failed"
    assert message in last["response"]["error"]["message"]
    row = ResponseRecord.objects.get()
    assert (row.status, row.http_status, row.error_code) == ("failed", 200, "upstream_error")


@pytest.mark.parametrize(
    ("step", "status", "words"),
    [
        (Step(body="<html>"), 502, "not a response"),
        (Step(body={**FOUND, "status": "failed", "error": {"message": "it fell"}}), 502, "it fell"),
        (Step(status=404, body={"detail": "Not Found"}), 404, "does not serve /v1/responses"),
        (Step(status=400, body={"error": {"message": "no such thing", "code": 400}}), 400, "no such thing"),
    ],
)
def test_an_engines_error_is_told(site: Site, step: Step, status: int, words: str) -> None:
    site.engine.script.append(step)
    response = site.ask()
    assert response.status_code == status
    assert words in response.json()["error"]["message"]


def test_another_engine_answers_if_one_does_not() -> None:
    with running(engines=2, is_responses_native=True) as site:
        site.engines[0].script.append(Step(status=503, body=""))
        streamed = ask(site, "hi")
        assert streamed.headers["x-roundhouse-endpoint"] == "engine-1"


def test_chat_completions_stay_chat_completions(site: Site) -> None:
    with site.client() as client:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
        assert client.post("/chat/completions", json=body).status_code == 200
    assert [seen.path for seen in site.engine.requests] == ["/v1/chat/completions"]
