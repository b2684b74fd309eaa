"""/v1/messages and /v1/messages/count_tokens: Anthropic's API, with Anthropic's client."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx
import pytest
from django.test import override_settings

from responses_api.models import ResponseRecord, Session
from tests.contract.messages import read_messages
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running, until

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES: Any = [{"role": "user", "content": "hi there"}]
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
CALL = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


@contextmanager
def client_of(site: Site, **options: Any) -> Iterator[anthropic.Anthropic]:
    """Anthropic's own client, without its retries."""
    given = {"base_url": site.server.origin, "api_key": site.key, "max_retries": 0, **options}
    with anthropic.Anthropic(**given) as client:
        yield client


def post(site: Site, path: str = "/messages", **body: Any) -> httpx.Response:
    with site.client() as client:
        return client.post(path, json={"model": "tiny", "messages": MESSAGES, "max_tokens": 50, **body})


def test_anthropics_client_gets_its_answer(site: Site) -> None:
    with client_of(site) as client:
        message = client.messages.create(
            model="tiny",
            max_tokens=50,
            messages=MESSAGES,
            system="Be brief.",
            extra_body={"temperature": 0.5},
            extra_headers={"anthropic-beta": "some-feature", "x-session-id": "mine"},
        )
    assert [block.text for block in message.content if block.type == "text"] == ["echo: hi there"]
    assert (message.model, message.stop_reason, message.usage.input_tokens) == ("tiny", "end_turn", 4)
    [seen] = site.engine.requests
    assert (seen.path, seen.body["system"], seen.body["temperature"]) == ("/v1/messages", "Be brief.", 0.5)
    assert seen.headers["authorization"] == "Bearer key-0"
    assert site.key not in seen.headers.values()
    row = ResponseRecord.objects.get(response_id=message.id)
    assert (row.api, row.status, row.input_tokens, row.output_tokens, row.finish_reason) == (
        "messages",
        "completed",
        4,
        4,
        "stop",
    )
    assert Session.objects.get().key == "mine"


def test_anthropics_client_follows_a_stream(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "Let me see.", "reasoning": "h m", "tool_calls": [CALL]}))
    with (
        client_of(site) as client,
        client.messages.stream(model="tiny", max_tokens=50, messages=MESSAGES, tools=[TOOL]) as stream,
    ):
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "Let me see."
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[-1].model_dump()["input"] == {"city": "Oslo"}
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 11)
    row = ResponseRecord.objects.get(response_id=message.id)
    assert (row.status, row.output_tokens, row.finish_reason, row.empty_cause) == ("completed", 11, "tool_calls", "")


def test_tokens_are_counted_without_a_session(site: Site) -> None:
    site.profile.chat_template_kwargs = {"enable_thinking": False}
    site.profile.save()
    site.refresh()
    with client_of(site) as client:
        counted = client.messages.count_tokens(model="tiny", messages=MESSAGES, system="Be brief.")
    assert counted.input_tokens == 4
    assert site.engine.requests[-1].body["chat_template_kwargs"] == {"enable_thinking": False}
    row = ResponseRecord.objects.get()
    assert (row.api, row.status, row.input_tokens, row.endpoint_name, row.session) == (
        "count_tokens",
        "completed",
        4,
        "engine-0",
        None,
    )
    assert not Session.objects.exists()


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_an_empty_message(site: Site, stream: bool) -> None:
    long = [{"role": "user", "content": "word " * 3000}]
    response = post(site, messages=long, stream=stream)
    if stream:
        events = read_messages(response.content)
        assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    else:
        body = response.json()
        assert (body["content"], body["stop_reason"]) == ([{"type": "text", "text": ""}], "max_tokens")
        assert body["usage"] == {"input_tokens": 0, "output_tokens": 0}
    row = ResponseRecord.objects.get()
    assert (row.status, row.empty_cause, row.input_tokens) == ("incomplete", "context_overflow", 3000)


def test_agents_are_told_to_compact_in_the_words_that_they_know() -> None:
    long: Any = [{"role": "user", "content": "word " * 3000}]
    with running(context_overflow="error") as site, client_of(site) as client:
        for path in (client.messages.create, client.messages.stream):
            with pytest.raises(anthropic.BadRequestError) as refused:
                _drain(path(model="tiny", max_tokens=50, messages=long))
            assert refused.value.body == {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": "prompt is too long: 3000 tokens > 2048 maximum",
                },
            }
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long: 3000 tokens > 2048 maximum"):
            client.messages.count_tokens(model="tiny", messages=long)
        codes = {*ResponseRecord.objects.values_list("error_code", flat=True)}
    assert codes == {"context_length_exceeded"}


def _drain(answer: Any) -> None:
    if hasattr(answer, "__enter__"):
        with answer as stream:
            stream.until_done()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", "/messages", {"model": "nobody", "messages": []}, 404, "not_found_error"),
        ("POST", "/messages", {"model": "tiny"}, 400, "invalid_request_error"),
        ("POST", "/messages", {"model": "tiny", "messages": MESSAGES}, 400, "invalid_request_error"),
        ("POST", "/messages/count_tokens", {"messages": []}, 400, "invalid_request_error"),
        ("GET", "/messages", None, 405, "invalid_request_error"),
    ],
)
def test_errors_have_anthropics_shape(site: Site, method: str, path: str, body: Any, status: int, kind: str) -> None:
    with site.client() as client:
        response = client.request(method, path, json=body)
    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


def test_a_wrong_key_is_told_in_anthropics_words(site: Site) -> None:
    with client_of(site, api_key="wrong") as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model="tiny", max_tokens=5, messages=MESSAGES)


@pytest.mark.parametrize(
    ("step", "status", "kind", "words"),
    [
        (Step(status=404, body={"detail": "Not Found"}), 404, "not_found_error", "does not serve /v1/messages"),
        (Step(status=405, body={"detail": "Method Not Allowed"}), 404, "not_found_error", "does not serve"),
        (Step(status=429, body={"message": "slow down"}), 429, "rate_limit_error", "slow down"),
        (Step(status=500, body="<html>"), 502, "api_error", "HTTP status 500"),
        (Step(body="<html>"), 502, "api_error", "no JSON object"),
        (Step(body={"choices": []}), 502, "api_error", "not a message"),
    ],
)
def test_an_engines_error_is_told(site: Site, step: Step, status: int, kind: str, words: str) -> None:
    site.engine.always = step
    response = post(site)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (status, kind)
    assert words in error["message"]
    assert ResponseRecord.objects.get().http_status == status


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
def test_another_engine_answers_if_one_does_not(path: str) -> None:
    with running(engines=2) as site:
        for engine in site.engines:
            engine.script.append(Step(status=503, body=""))
        site.engines[1].script.clear()
        responses = [post(site, path) for _ in range(3)]
        assert [response.status_code for response in responses] == [200] * 3
        assert {row.endpoint_name for row in ResponseRecord.objects.all()} <= {"engine-0", "engine-1"}


START = {"type": "message_start", "message": {"id": "x", "type": "message", "role": "assistant", "content": []}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(break_off="middle"), "broke the connection off"),
        (Step(events=[START, BLOCK]), "in the middle"),
        (Step(events=[START, "data: <html>\n\n"]), "not an event of a message"),
        (Step(events=[START, {"type": "error", "error": {"type": "x", "message": "CUDA error"}}]), "CUDA error"),
        (Step(events=[BLOCK]), "does not begin"),
    ],
)
def test_a_stream_that_breaks_ends_in_anthropics_error(site: Site, step: Step, words: str) -> None:
    site.engine.script.append(step)
    events = read_messages(post(site, stream=True).content)
    assert events[-1]["type"] == "error"
    assert words in events[-1]["error"]["message"]
    row = ResponseRecord.objects.get()
    assert (row.status, row.http_status, row.error_code) == ("failed", 200, "upstream_error")


@override_settings(HEARTBEAT_SECONDS=0.05)
def test_a_long_silence_is_told_as_ping() -> None:
    with running() as site:
        site.engine.script.append(Step(gap=0.3))
        events = read_messages(post(site, stream=True).content)
    assert {"type": "ping"} in events


def test_a_client_that_leaves_stops_the_engine(site: Site) -> None:
    site.engine.script.append(Step(gap=0.05, message={"content": "w " * 500}))
    with (
        site.client() as client,
        client.stream(
            "POST", "/messages", json={"model": "tiny", "messages": MESSAGES, "max_tokens": 900, "stream": True}
        ) as response,
    ):
        next(response.iter_raw())
    until(lambda: site.engine.requests[0].client_left, seconds=15)  # it would go on for 25
    row = until(ResponseRecord.objects.first)
    assert (row.status, row.error_code) == ("failed", "client_left")


def test_the_row_is_there_before_the_end(site: Site) -> None:
    site.engine.script.append(Step(stall=True))
    rows: list[int] = []
    with (
        client_of(site) as client,
        client.messages.create(model="tiny", max_tokens=50, messages=MESSAGES, stream=True) as events,
    ):
        for event in events:
            rows.append(ResponseRecord.objects.count())
            site.engine.go_on()
            if event.type == "message_delta":
                break
    assert (rows[0], rows[-1]) == (0, 1)


def test_one_session_for_a_messages_and_its_count(site: Site) -> None:
    with site.client(x_session_id="mine") as client:
        body = {"model": "tiny", "messages": MESSAGES, "max_tokens": 50}
        client.post("/messages", json=body)
        counted = client.post("/messages/count_tokens", json=body)
    assert counted.headers["x-session-id"] == "mine"
    assert Session.objects.get().requests == 2
