"""The whole path over real sockets: the answer, and what is in the database before it leaves."""

from collections.abc import Iterator
from typing import Any

import pytest

from responses_api.models import ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, record, running

pytestmark = pytest.mark.django_db(transaction=True)

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def test_text_goes_in_and_comes_out(site: Site) -> None:
    response = site.ask("hello there")
    assert response.status_code == 200
    body = response.json()
    assert body["output"][0]["content"][0]["text"] == "echo: hello there"
    assert (body["status"], body["model"], body["error"]) == ("completed", "tiny", None)
    assert body["usage"]["input_tokens"] == 2
    assert body["id"].startswith("resp_")
    assert site.engine.chats == [
        {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text", "text": "hello there"}]}]}
    ]
    assert site.engine.requests[0].headers["authorization"] == "Bearer key-0"


def test_the_answer_is_in_the_ledger_before_it_leaves(site: Site) -> None:
    response = site.ask("hello there", headers={"x-session-id": "mine"})
    row = record(response)
    assert (row.api, row.profile_name, row.endpoint_name, row.caller_name) == (
        "responses",
        "tiny",
        "engine-0",
        "caller",
    )
    assert (row.status, row.http_status, row.empty_cause, row.error_code) == ("completed", 200, "", "")
    assert (row.input_tokens, row.output_tokens, row.cached_tokens, row.attempts) == (2, 4, None, 1)
    assert row.finish_reason == "stop"
    assert row.engine_ms is not None
    assert row.duration_ms >= row.engine_ms
    session = Session.objects.get()
    assert (session.key, session.caller, session.profile) == ("mine", site.caller, site.profile)
    assert row.session == session
    assert (session.requests, session.input_tokens, session.output_tokens) == (1, 2, 4)
    assert session.last_seen_at >= row.created_at


def test_answers_name_their_request_session_and_endpoint(site: Site) -> None:
    response = site.ask(headers={"x-session-id": "mine", "x-request-id": "trace-me"})
    assert response.headers["x-request-id"] == "trace-me"
    assert response.headers["x-session-id"] == "mine"
    assert response.headers["x-roundhouse-endpoint"] == "engine-0"
    assert "set-cookie" not in response.headers
    bad = site.ask(headers={"x-request-id": "x" * 300})
    assert bad.headers["x-request-id"].startswith("req_")


def test_a_tool_loop_of_two_turns(site: Site) -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    site.engine.script.append(Step(message={"content": None, "reasoning": "I need the weather.", "tool_calls": [call]}))
    asked = [{"role": "user", "content": "Weather in Oslo?"}]
    first = site.ask(asked, tools=[TOOL], instructions="Be brief.").json()
    reasoning, function_call = first["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "I need the weather."}]
    assert (function_call["call_id"], function_call["arguments"]) == ("call_7", '{"city": "Oslo"}')

    result = {"type": "function_call_output", "call_id": "call_7", "output": "rain"}
    second = site.ask([*asked, *first["output"], result], tools=[TOOL], instructions="Be brief.").json()
    assert second["output"][0]["content"][0]["text"] == "echo: rain"
    assert site.engine.chats[1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Oslo?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I need the weather.",
            "reasoning": "I need the weather.",
            "tool_calls": [call],
        },
        {"role": "tool", "tool_call_id": "call_7", "content": "rain"},
    ]


def test_a_forced_tool_is_called(site: Site) -> None:
    body = site.ask(tools=[TOOL], tool_choice={"type": "function", "name": "weather"}).json()
    assert body["output"][0]["name"] == "weather"
    assert body["tool_choice"] == {"type": "function", "name": "weather"}


def test_thoughts_become_a_reasoning_item(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "<think>hm</think>yes"}))
    reasoning, message = site.ask().json()["output"]
    assert reasoning["summary"][0]["text"] == "hm"
    assert message["content"][0]["text"] == "yes"


def test_the_profile_shapes_the_request(site: Site) -> None:
    site.profile.extra_body = {"top_k": 5, "temperature": 0.1}
    site.profile.sampling_overrides = {"top_p": 0.5}
    site.profile.chat_template_kwargs = {"enable_thinking": False}
    site.profile.name = "shaped"
    site.profile.upstream_model = "tiny"
    site.profile.save()
    with site.client() as client:
        body = client.post("/responses", json={"model": "shaped", "input": "hi", "temperature": 0.9, "top_p": 1}).json()
    sent = site.engine.chats[0]
    assert (sent["model"], sent["top_k"], sent["temperature"], sent["top_p"]) == ("tiny", 5, 0.9, 0.5)
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["model"], body["temperature"], body["top_p"]) == ("shaped", 0.9, 0.5)


def test_chat_completions_pass_through(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "yes", "reasoning": "hm"}))
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "<think>a</think>b"}]
    with site.client() as client:
        response = client.post("/chat/completions", json={"model": "tiny", "messages": messages, "guided": 1})
    body = response.json()
    assert body["choices"][0]["message"]["content"] == "<think>hm</think>yes"
    assert body["model"] == "tiny"
    assert site.engine.chats[0]["guided"] == 1
    assert site.engine.chats[0]["messages"][1]["reasoning"] == "a"
    row = record(response)
    assert (row.api, row.status, row.endpoint_name) == ("chat", "completed", "engine-0")
    assert response.headers["x-roundhouse-endpoint"] == "engine-0"


def test_models_are_the_profiles(site: Site) -> None:
    site.profile.endpoints.update(max_model_len=2048)
    with site.client() as client:
        listed = client.get("/models").json()
        one = client.get("/models/tiny").json()
        missing = client.get("/models/no/such")
    assert listed == {"object": "list", "data": [one]}
    assert (one["id"], one["object"], one["max_model_len"]) == ("tiny", "model", 2048)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        (Step(message={"content": None}, usage={"prompt_tokens": 1, "completion_tokens": 1}), "no_tokens"),
        (Step(message={"content": None}, usage={"prompt_tokens": 1, "completion_tokens": 9}), "parser_ate_it"),
        (Step(message={"content": "<think>hm</think>"}), "reasoning_only"),
        (Step(message={"content": "<think>hm"}, finish_reason="length"), "length_before_text"),
        (Step(message={"content": None}, finish_reason="content_filter"), "content_filter"),
        (Step(message={"content": None, "refusal": "I will not."}), "refusal"),
    ],
)
@pytest.mark.parametrize("api", ["responses", "chat"])
def test_an_empty_answer_has_its_cause_in_the_ledger(site: Site, step: Step, cause: str, api: str) -> None:
    site.engine.script.append(step)
    path: str = "/responses" if api == "responses" else "/chat/completions"
    given: Any = {"input": "hi"} if api == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    with site.client() as client:
        response = client.post(path, json={"model": "tiny", **given})
    assert response.status_code == 200
    assert record(response).empty_cause == cause
    assert Session.objects.get().empties == 1


def test_a_prompt_that_does_not_fit_is_an_empty_answer_with_its_numbers(site: Site) -> None:
    response = site.ask("word " * 3000)
    body = response.json()
    assert response.status_code == 200
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert body["output"][0]["content"] == [{"type": "output_text", "text": "", "annotations": []}]
    assert body["usage"] is None
    row = record(response)
    assert (row.status, row.empty_cause, row.input_tokens) == ("incomplete", "context_overflow", 3000)
    assert (row.context_limit, row.asked_tokens, row.shortage) == (2048, None, "needs 3,000 of 2,048 tokens")
    assert "maximum context length is 2048" in row.detail
    assert Session.objects.get().empties == 1
    with site.client() as client:
        messages = [{"role": "user", "content": "word " * 3000}]
        chat = client.post("/chat/completions", json={"model": "tiny", "messages": messages})
    assert chat.json()["choices"][0]["message"]["content"] is None
    assert record(chat).empty_cause == "context_overflow"


def test_a_prompt_that_fills_the_context_does_not_fit_and_no_tokens_asked_for_are_a_mistake(site: Site) -> None:
    messages = [{"role": "user", "content": "word " * 2048}]
    response = site.ask(messages)
    assert (response.json()["status"], record(response).empty_cause) == ("incomplete", "context_overflow")
    with site.client() as client:
        for path, given in (
            ("/chat/completions", {"messages": messages}),
            ("/messages", {"messages": messages, "max_tokens": 9}),
            ("/completions", {"prompt": "word " * 2048}),
        ):
            full = client.post(path, json={"model": "tiny", **given})
            assert (full.status_code, record(full).empty_cause) == (200, "context_overflow"), path
        none = client.post("/chat/completions", json={"model": "tiny", "messages": messages, "max_tokens": 0})
    assert (none.status_code, none.json()["error"]["code"]) == (400, "engine_refused")


def test_a_profile_may_ask_for_the_overflow_as_an_error() -> None:
    with running(context_overflow="error") as site:
        response = site.ask("hi", max_output_tokens=9000)
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["code"], error["type"], error["param"]) == (
        "context_length_exceeded",
        "invalid_request_error",
        "input",
    )
    assert "max_tokens=9000 cannot be greater than max_model_len=2048" in error["message"]
    row = ResponseRecord.objects.get()
    assert (row.status, row.error_code, row.empty_cause) == ("failed", "context_length_exceeded", "")
    assert (row.input_tokens, row.asked_tokens, row.context_limit) == (None, 9000, 2048)
