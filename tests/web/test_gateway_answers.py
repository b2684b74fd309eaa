"""What a profile decides about answers, through the gateway and with an engine behind it."""

from typing import Any

import pytest
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from responses_api.models import ResponseRecord
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import running
from tests.web.streams import ask, ask_chat

pytestmark = pytest.mark.django_db(transaction=True)

TRIPLE = {"prompt_token_ids", "generation_token_ids", "generation_log_probs"}
TOO_LONG = "max_tokens=9 cannot be greater than max_model_len=2."
ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
TEXT = {"choices": [{"index": 0, "delta": {"content": "hi"}}]}
OVERFLOW = {"error": {"message": TOO_LONG, "type": "BadRequestError", "param": None, "code": 400}}


WORDS = {"messages": [{"role": "user", "content": [{"type": "text", "text": "one two"}]}]}


def numbers(holder: dict[str, Any]) -> dict[str, Any]:
    return {name: holder[name] for name in TRIPLE}


@pytest.mark.parametrize("inline", [True, False])
def test_token_ids_come_inline_or_from_tokenize(inline: bool) -> None:
    with running(return_token_id_information=True, request_prompt_and_generation_token_ids=inline) as site:
        whole = site.ask("one two").json()["output"][-1]
        streamed = ask(site, "one two").last["output"][-1]
        chunks = ask_chat(site, **WORDS)
        with site.client() as client:
            chat = client.post("/chat/completions", json={"model": "tiny", **WORDS}).json()["choices"][0]
        asked = [seen for seen in site.engine.requests if seen.path == "/tokenize"]
    assert len(asked) == (0 if inline else 4)
    assert len(whole["prompt_token_ids"]) > 1
    assert len(whole["generation_token_ids"]) == len(whole["generation_log_probs"]) > 0
    told = next(delta for chunk in chunks if "prompt_token_ids" in (delta := chunk["choices"][0]["delta"]))
    assert numbers(whole) == numbers(streamed) == numbers(told) == numbers(chat["message"])
    assert chat["logprobs"] is None


@pytest.mark.parametrize("stream", [True, False])
def test_token_ids_that_are_not_certain_fail(stream: bool) -> None:
    with running(return_token_id_information=True) as site:
        site.engine.always = Step(status=404, body={"error": {"message": "Not Found"}})
        site.engine.script.append(Step())
        response = site.ask(stream=stream)
    row = ResponseRecord.objects.get()
    assert (row.status, row.error_code) == ("failed", "upstream_error")
    assert "refused a question about its own answer: Not Found" in row.detail
    assert response.status_code == (200 if stream else 502)
    assert row.detail in response.text


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_tokenize_finds_too_long_does_not_fit(stream: bool) -> None:
    with running(return_token_id_information=True) as site:
        site.engine.always = Step(status=400, body=OVERFLOW)
        site.engine.script.append(Step(message={"content": "" if stream else "hi"}))
        response = site.ask(stream=stream)
    row = ResponseRecord.objects.get()
    assert (row.status, row.empty_cause, response.status_code) == ("incomplete", "context_overflow", 200)
    assert "max_output_tokens" in response.text


def test_the_texts_log_probabilities_leave() -> None:
    with running() as site:
        with site.openai() as client:
            response = client.responses.create(
                model="tiny", input="one two", top_logprobs=2, include=["message.output_text.logprobs"]
            )
        streamed = ask(site, "one two", top_logprobs=2).last["output"][0]["content"][0]
    message = response.output[0]
    assert isinstance(message, ResponseOutputMessage)
    part = message.content[0]
    assert isinstance(part, ResponseOutputText)
    assert "".join(entry.token for entry in part.logprobs or []) == part.text == streamed["text"]
    assert all(len(entry.top_logprobs) == 2 for entry in part.logprobs or [])
    assert [entry["token"] for entry in streamed["logprobs"]] == [entry.token for entry in part.logprobs or []]


@pytest.mark.parametrize("shown_as", ["content", "both"])
def test_thoughts_are_shown_as_the_profile_says(shown_as: str) -> None:
    with running(reasoning_shown_as=shown_as) as site:
        site.engine.always = Step(message={"reasoning": "hm", "content": "hi"})
        thought = site.ask().json()["output"][0]
        assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
        assert bool(thought["summary"]) == (shown_as == "both")
        with site.openai() as client, client.responses.stream(model="tiny", input="hi") as stream:
            deltas = [event.delta for event in stream if event.type == "response.reasoning_text.delta"]
        assert "".join(deltas) == "hm"


def test_length_can_be_completed_and_the_ledger_still_knows() -> None:
    with running(length_is_completed=True) as site:
        site.engine.always = Step(message={"content": "hi"}, finish_reason="length")
        assert [site.ask().json()["status"], ask(site).last["status"]] == ["completed"] * 2
    assert {*ResponseRecord.objects.values_list("status", "finish_reason")} == {("completed", "length")}


@pytest.mark.parametrize("said", [[ROLE], [ROLE, TEXT]])
@pytest.mark.parametrize("rule", ["empty", "error"])
def test_a_prompt_that_turns_out_too_long_inside_the_stream(rule: str, said: list[dict[str, Any]]) -> None:
    with running(context_overflow=rule) as site:
        site.engine.always = Step(events=[*said, OVERFLOW])
        last = ask(site).last
        chunks = ask_chat(site)
    rows = ResponseRecord.objects.all()
    if rule == "empty" and said == [ROLE]:
        assert last["incomplete_details"] == {"reason": "max_output_tokens"}
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert {(row.status, row.empty_cause) for row in rows} == {("incomplete", "context_overflow")}
    else:
        assert last["error"] == {"code": "context_length_exceeded", "message": TOO_LONG}
        assert chunks[-1]["error"]["code"] == "context_length_exceeded"
        assert {(row.status, row.error_code) for row in rows} == {("failed", "context_length_exceeded")}
    assert {(row.context_limit, row.asked_tokens) for row in rows} == {(2, 9)}


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_that_comes_as_a_good_answer_is_one(stream: bool) -> None:
    with running() as site:
        site.engine.script.append(Step(body={"error": {"message": "no such knob", "param": "knob", "code": 400}}))
        refused = site.ask("hi", stream=stream)
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, "no such knob")
        words = "This model's maximum context length is 10 tokens. However, your request has 20 input tokens."
        site.engine.script.append(Step(body={"object": "error", "message": words, "code": 400}))
        assert site.ask("hi", stream=stream).status_code == 200
    assert ResponseRecord.objects.filter(empty_cause="context_overflow").count() == 1


def test_calls_that_are_forbidden_are_a_cause() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tools = [{"type": "function", "name": "f", "parameters": {}}]
    with running() as site:
        site.engine.always = Step(message={"content": None, "tool_calls": [call]}, finish_reason="tool_calls")
        body = site.ask(tools=tools, tool_choice="none").json()
    assert [item["type"] for item in body["output"]] == ["message"]
    assert ResponseRecord.objects.get().empty_cause == "calls_forbidden"
