"""The scripted engine, where no real one can be asked: its agent, its tokens, its steps on every API."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.scripted_vllm import Agent, ScriptedVllm, Step

PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
CHAT_TOOL = {"type": "function", "function": {"name": "run", "parameters": PARAMETERS}}
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}}

# Of each API: the path, what offers the tool, a first turn, and what follows once the tool has run.
APIS: dict[str, tuple[str, dict[str, Any], str, list[Any], list[Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"tools": [CHAT_TOOL]},
        "messages",
        [USER],
        [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": "42"}],
    ),
    "messages": (
        "/v1/messages",
        {"tools": [{"name": "run", "input_schema": PARAMETERS}], "max_tokens": 32, "model": "tiny"},
        "messages",
        [USER],
        [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "run", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "42"}]},
        ],
    ),
    "responses": (
        "/v1/responses",
        {"tools": [{"type": "function", "name": "run", "parameters": PARAMETERS}]},
        "input",
        [USER],
        [
            {"type": "function_call", "call_id": "c", "name": "run", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "42"},
        ],
    ),
}


@pytest.fixture
def engine() -> Iterator[ScriptedVllm]:
    with ScriptedVllm(max_model_len=64) as running:
        yield running


def post(engine: ScriptedVllm, path: str, **body: Any) -> httpx.Response:
    with httpx.Client(base_url=engine.origin, timeout=10, trust_env=False) as client:
        return client.post(path, json=body)


def completion(engine: ScriptedVllm, **body: Any) -> str:
    return str(post(engine, "/v1/completions", **body).json()["choices"][0]["text"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "settings", "name", "first", "then"), APIS.values(), ids=APIS)
def test_an_agent_calls_its_tool_and_reports_the_result(
    engine: ScriptedVllm, path: str, settings: Any, name: str, first: Any, then: Any, stream: bool
) -> None:
    post(engine, "/script", agent={"name": "run", "arguments": {"command": "Q7"}})
    settings = {**settings, "stream": stream}

    def ask(conversation: list[Any], **more: Any) -> str:
        return post(engine, path, **{**settings, **more, name: conversation}).text

    called = ask(first)
    assert '"run"' in called
    assert "Q7" in called
    reported = ask([*first, *then])
    assert "done:" in reported
    assert "42" in reported
    # The next turn of the user gets the next call; without the tool there is none.
    assert '"run"' in ask([*first, *then, {"role": "assistant", "content": "done: 42"}, USER])
    assert "echo:" in ask(first, tools=None)


def test_a_step_goes_before_the_agent(engine: ScriptedVllm) -> None:
    engine.agent = Agent("run")
    engine.script.append(Step(message={"content": "no"}))
    answer = post(engine, "/v1/responses", input="hi", tools=[{"type": "function", "name": "run"}])
    assert "no" in answer.text


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/completions", {"prompt": "hi"}, "choices"),
        ("/v1/messages", {"messages": [USER], "max_tokens": 9, "model": "tiny"}, "content"),
        ("/v1/responses", {"input": "hi"}, "output"),
        ("/tokenize", {"prompt": "hi"}, "tokens"),
        ("/v1/embeddings", {"input": "hi"}, "data"),
    ],
)
def test_steps_hold_on_every_api(engine: ScriptedVllm, path: str, body: Any, field: str) -> None:
    engine.script.extend([Step(status=503, body={"error": "busy"}), Step(break_off="before"), Step(delay=0.01)])
    refused = post(engine, path, **body)
    assert (refused.status_code, refused.json()) == (503, {"error": "busy"})
    with pytest.raises(httpx.TransportError):
        post(engine, path, **body)
    assert field in post(engine, path, **body).json()


def test_scripted_events_carry_their_names_where_the_api_names_them(engine: ScriptedVllm) -> None:
    engine.always = Step(events=[{"type": "ping"}, ": hello\n\n"])
    answer = post(engine, "/v1/messages", messages=[USER], max_tokens=9, model="tiny", stream=True)
    assert answer.text == 'event: ping\ndata: {"type":"ping"}\n\n: hello\n\n'


def test_tokens_of_one_answer_are_the_prompt_of_the_next(engine: ScriptedVllm) -> None:
    chat = post(engine, "/v1/chat/completions", messages=[USER], return_token_ids=True).json()
    ids = [*chat["prompt_token_ids"], *chat["choices"][0]["token_ids"]]
    assert completion(engine, prompt=ids) == "echo: hiecho: hi<|im_end|>"
    assert post(engine, "/detokenize", tokens=ids).json() == {"prompt": "hiecho: hi<|im_end|>"}


def test_an_answer_stops_before_a_stop_string(engine: ScriptedVllm) -> None:
    answer = post(engine, "/v1/completions", prompt="a b c", stop=[" c", " b"]).json()
    [choice] = answer["choices"]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("echo: a", "stop", " b")
    streamed = post(engine, "/v1/completions", prompt="a b c", stop=" b", stream=True).text
    assert json.loads(streamed.split("\n\n")[-3].removeprefix("data: "))["choices"][0]["finish_reason"] == "stop"


def test_what_does_not_fit_is_cut_to_what_is_left(engine: ScriptedVllm) -> None:
    answer = post(engine, "/v1/completions", prompt="a " * 62, max_tokens=10).json()
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (2, "length")
    full = post(engine, "/v1/completions", prompt="a " * 64, max_tokens=10)
    assert "max_tokens must be at least 1, got 0." in full.json()["error"]["message"]


def test_equal_texts_have_equal_embeddings(engine: ScriptedVllm) -> None:
    first, second, other = post(engine, "/v1/embeddings", input=["a", "a", "b"]).json()["data"]
    assert first["embedding"] == second["embedding"] != other["embedding"]
    short = post(engine, "/v1/embeddings", input="a", dimensions=2, encoding_format="base64").json()["data"][0]
    assert struct.unpack("<2f", base64.b64decode(short["embedding"])) != ()
    assert "range [1, 8]" in post(engine, "/v1/embeddings", input="a", dimensions=9).json()["error"]["message"]


def test_a_body_of_the_wrong_kind_is_refused(engine: ScriptedVllm) -> None:
    bodies: dict[str, Any] = {"/v1/chat/completions": {"messages": [1]}, "/v1/responses": {"input": 7}}
    for path, body in bodies.items():
        assert post(engine, path, **body).json()["error"]["type"] == "Bad Request"
