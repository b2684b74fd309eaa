"""A real vLLM behind the gateway: streams, calls that its tool parser reads, token ids, and its other APIs."""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from endpoints.models import ConfigProfile
from responses_api.models import ResponseRecord
from tests.contract.life import check_stream
from tests.end_to_end import real_vllm
from tests.end_to_end.real_vllm import CONTEXT, RealVllm
from tests.web.gateway_server import Site, record
from tests.web.streams import ask as ask_stream

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM in this environment"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(900),
]

# One possible text, so that a model with random weights comes to an end.
LOOK: dict[str, Any] = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "enum": [{"q": "a"}]},
    "strict": True,
}
NAMED = {"type": "function", "name": "look"}
# The tiny model's reasoning parser takes everything for thoughts without it.
SPEAKS = {"temperature": 0, "max_output_tokens": 8, "chat_template_kwargs": {"enable_thinking": False}}


@pytest.fixture(scope="module")
def engine() -> Iterator[RealVllm]:
    with real_vllm.running() as started:
        yield started


@pytest.fixture
def site(engine: RealVllm) -> Iterator[Site]:
    with ExitStack() as stack:
        made = Site([engine])  # type: ignore[list-item]  # it has what a site asks for: a base URL and a key
        stack.enter_context(made.server)
        stack.callback(made.server.stop)
        yield made


def edit(site: Site, **settings: Any) -> None:
    ConfigProfile.objects.filter(pk=site.profile.pk).update(**settings)
    site.refresh()


def message_text(body: dict[str, Any]) -> str:
    return str(body["output"][-1]["content"][0]["text"])


def test_a_stream_says_what_the_whole_answer_says(site: Site) -> None:
    whole = site.ask("one two three", **SPEAKS).json()
    streamed = ask_stream(site, "one two three", **SPEAKS)
    check_stream(streamed.events)
    assert streamed.last["status"] == whole["status"] == "incomplete"
    assert "".join(streamed.deltas) == message_text(whole)
    assert len(streamed.deltas) > 2  # token by token, not in one piece
    assert streamed.last["usage"] == whole["usage"]
    row = ResponseRecord.objects.get(response_id=streamed.last["id"])
    assert (row.output_tokens, row.finish_reason) == (8, "length")


@pytest.mark.parametrize("stream", [False, True])
def test_its_tool_parser_reads_a_call(site: Site, stream: bool) -> None:
    request = {**SPEAKS, "max_output_tokens": 60, "tools": [LOOK], "tool_choice": NAMED}
    body = ask_stream(site, "look", **request).last if stream else site.ask("look", **request).json()
    (call,) = body["output"]
    assert (call["type"], call["name"], json.loads(call["arguments"])) == ("function_call", "look", {"q": "a"})
    answered = [
        {"role": "user", "content": "look"},
        call,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "a thing"},
    ]
    assert site.ask(answered, **SPEAKS, tools=[LOOK]).json()["status"] == "incomplete"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("from_engine", [False, True])
def test_token_ids_come_with_the_last_item(site: Site, stream: bool, from_engine: bool) -> None:
    """With the answer, or read off the log-probs and /tokenize: they are the same."""
    edit(site, return_token_id_information=True, request_prompt_and_generation_token_ids=from_engine)
    request = {**SPEAKS, "tools": [LOOK]}
    body = ask_stream(site, "one two", **request).last if stream else site.ask("one two", **request).json()
    last, usage = body["output"][-1], body["usage"]
    assert len(last["prompt_token_ids"]) == usage["input_tokens"]
    assert len(last["generation_token_ids"]) == len(last["generation_log_probs"]) == usage["output_tokens"] == 8
    assert all(value <= 0 for value in last["generation_log_probs"])
    edit(site, request_prompt_and_generation_token_ids=not from_engine)
    other = site.ask("one two", **request).json()["output"][-1]
    assert other["prompt_token_ids"] == last["prompt_token_ids"]
    assert other["generation_token_ids"] == last["generation_token_ids"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_rendered_prompt_is_the_chats(site: Site, stream: bool) -> None:
    edit(site, uses_reasoning_parser=False)
    chat = site.ask("one two", **SPEAKS, tools=[LOOK]).json()
    edit(site, use_completions_api=True, render_chat_template=True)
    request = {**SPEAKS, "tools": [LOOK]}
    body = ask_stream(site, "one two", **request).last if stream else site.ask("one two", **request).json()
    assert body["usage"]["input_tokens"] == chat["usage"]["input_tokens"]
    assert message_text(body) == message_text(chat)


@pytest.mark.parametrize("stream", [False, True])
def test_its_own_responses_are_mended(site: Site, stream: bool) -> None:
    edit(site, is_responses_native=True)
    request = {**SPEAKS, "max_output_tokens": 16}
    if stream:
        answered = ask_stream(site, "one two", **request)
        check_stream(answered.events)
        body = answered.last
    else:
        body = site.ask("one two", **request).json()
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert body["usage"]["output_tokens"] == 16


@pytest.mark.parametrize("settings", [{}, {"is_responses_native": True}, {"use_completions_api": True}])
def test_what_does_not_fit_is_an_empty_answer_with_its_numbers(site: Site, settings: dict[str, bool]) -> None:
    edit(site, **settings)
    answer = site.ask("word " * 600)
    assert (answer.status_code, message_text(answer.json())) == (200, "")
    row = record(answer)
    assert (row.empty_cause, row.context_limit) == ("context_overflow", CONTEXT)


def test_the_other_apis_pass(site: Site) -> None:
    with site.client() as client:
        counted = client.post("/tokenize", json={"model": "tiny", "prompt": "one two"}).json()
        assert client.post("/detokenize", json={"model": "tiny", "tokens": counted["tokens"]}).json() == {
            "prompt": "one two"
        }
        said = client.post("/completions", json={"model": "tiny", "prompt": "one", "max_tokens": 3}).json()
        assert said["usage"]["completion_tokens"] == 3
        asked = {"model": "tiny", "max_tokens": 3, "messages": [{"role": "user", "content": "one"}]}
        assert client.post("/messages", json=asked).json()["usage"]["output_tokens"] == 3
        counting = {"model": "tiny", "messages": asked["messages"]}
        assert client.post("/messages/count_tokens", json=counting).json()["input_tokens"] > 0
