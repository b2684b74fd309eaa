"""The scripted engine answers as a real vLLM does: the same requests to both, and the shapes of the answers compared.

A shape is what a client can rely on: names, types, the values that tell kinds apart, and in streams the order of the
events, repeats taken together. The words of errors are compared too, numbers aside.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.end_to_end import real_vllm
from tests.end_to_end.real_vllm import CONTEXT, KEY
from tests.fakes.scripted_vllm import Agent, ScriptedVllm, Step

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM in this environment"),
    pytest.mark.timeout(900),
]

TOLD_APART_BY = {"type", "object", "role", "status", "finish_reason", "stop_reason", "reason", "code", "param"}

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MESSAGES, COUNT, RESPONSES = "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"

USER = [{"role": "user", "content": "one two three four five six"}]
LONG = "word " * 600
PLAIN = {"enable_thinking": False}  # the tiny model's reasoning parser takes everything for thoughts without it
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
NAMED = {"type": "function", "function": {"name": "look"}}
# One possible text, so that a model with random weights comes to an end.
ONE_CALL = {"type": "object", "enum": [{"q": "a"}]}
ONE_TEXT = {"enum": ["abcdefgh"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": "look", "parameters": ONE_CALL, "strict": True}}]
TOOLS = [{"type": "function", "name": "look", "parameters": ONE_CALL, "strict": True}]
ANTHROPIC_TOOLS = [{"name": "look", "input_schema": ONE_CALL, "strict": True}]
QUOTE = '"'
QUOTED = Step(message={"content": '"abcdefgh"'})
THOUGHT = Step(message={"content": None, "reasoning": "one two three four five six"})


class Engine(NamedTuple):
    """One of the two."""

    url: str
    fake: ScriptedVllm | None

    def send(self, path: str, body: Any = None, *, key: str = KEY) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        content = body if isinstance(body, str) else json.dumps(body)
        with httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False) as client:
            return client.get(path) if body is None else client.post(path, content=content)

    def ids(self, text: str) -> list[int]:
        return list(self.send("/tokenize", {"model": "tiny", "prompt": text}).json()["tokens"])


@pytest.fixture(scope="module")
def fake() -> Iterator[Engine]:
    with ScriptedVllm(api_key=KEY, max_model_len=CONTEXT) as engine:
        engine.agent = Agent("look", {"q": "a"})
        yield Engine(engine.origin, engine)


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    with real_vllm.running() as engine:
        yield Engine(engine.origin, None)


def shape(value: Any, name: str = "") -> Any:
    """Return what is the same in all answers of a kind."""
    if isinstance(value, dict):
        if name == "top_logprobs" and "token" not in value:
            return {"a token": "float"}  # the names are tokens
        return {key: shape(field, key) for key, field in value.items()}
    if isinstance(value, list):
        kinds = [json.dumps(shape(one, name), sort_keys=True) for one in value]
        return sorted(set(kinds))
    if name == "message" and isinstance(value, str):
        return re.sub(r"\d+", "N", value)
    if name in TOLD_APART_BY:
        return value
    return type(value).__name__


def shape_of_stream(text: str) -> list[Any]:
    """Return the shapes of the events, each once where it repeats."""
    found: list[Any] = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        lines = block.split("\n")
        data = lines[-1].removeprefix("data: ")
        event = [*lines[:-1], data if data == "[DONE]" else shape(json.loads(data))]
        if not found or event != found[-1]:
            found.append(event)
    return found


def shape_of(response: httpx.Response) -> Any:
    kind = response.headers["content-type"]
    body = shape_of_stream(response.text) if "event-stream" in kind else shape(response.json())
    return {"status": response.status_code, "type": kind, "body": body}


def chat(**fields: Any) -> dict[str, Any]:
    return {
        "model": "tiny",
        "messages": USER,
        "max_tokens": 5,
        "temperature": 0,
        "chat_template_kwargs": PLAIN,
        **fields,
    }


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "prompt": "one two three four five", "max_tokens": 4, "temperature": 0, **fields}


def messages(**fields: Any) -> dict[str, Any]:
    ended = {"output_config": {"format": {"type": "json_schema", "schema": ONE_TEXT}}}
    return chat(**ended, **fields)


def responses(**fields: Any) -> dict[str, Any]:
    given = {"model": "tiny", "input": USER[0]["content"], "max_output_tokens": 5, "temperature": 0}
    return {**given, "chat_template_kwargs": PLAIN, **fields}


TO_THE_END: dict[str, Any] = {"logit_bias": {"2": 100}, "min_tokens": 4, "max_tokens": 50}
LOGPROBS: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
IDS: dict[str, Any] = {"return_token_ids": True, "return_tokens_as_token_ids": True}
CALL: dict[str, Any] = {"tools": CHAT_TOOLS, "tool_choice": NAMED, "max_tokens": 100}
ANTHROPIC_CALL = {"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "look"}, "max_tokens": 100}
RESPONSES_CALL: dict[str, Any] = {
    "tools": TOOLS,
    "tool_choice": {"type": "function", "name": "look"},
    "max_output_tokens": 100,
}
ENDED = {"text": {"format": {"type": "json_schema", "name": "x", "schema": ONE_TEXT}}, "max_output_tokens": 50}
ONE_ANSWER: dict[str, Any] = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": ONE_TEXT}},
    "max_tokens": 50,
}
OUTPUT_LOGPROBS = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
CONVERSATION = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "x"},
]

CASES: dict[str, tuple[str, Any]] = {
    "models": ("/v1/models", None),
    "version": ("/version", None),
    "no such route": ("/v1/nothing", None),
    "wrong method": (CHAT, None),
    "chat": (CHAT, chat()),
    "chat to the end": (CHAT, chat(**TO_THE_END)),
    "chat n": (CHAT, chat(n=2, temperature=1)),
    "chat n, greedy": (CHAT, chat(n=2)),
    "chat stream": (CHAT, chat(stream=True)),
    "chat stream to the end": (CHAT, chat(**TO_THE_END, stream=True)),
    "chat stream usage": (CHAT, chat(**USAGE)),
    "chat stream running usage": (
        CHAT,
        chat(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}),
    ),
    "chat tool": (CHAT, chat(**CALL)),
    "chat tool required": (CHAT, chat(**{**CALL, "tool_choice": "required"})),
    "chat tool stream": (CHAT, chat(**CALL, **USAGE)),
    "chat logprobs": (CHAT, chat(**LOGPROBS)),
    "chat logprobs alone": (CHAT, chat(logprobs=True)),
    "chat ids": (CHAT, chat(**TO_THE_END, **LOGPROBS, **IDS)),
    "chat logprobs stream": (CHAT, chat(**LOGPROBS, stream=True)),
    "chat ids stream": (CHAT, chat(**TO_THE_END, **LOGPROBS, **IDS, **USAGE)),
    "chat top_logprobs without logprobs": (CHAT, chat(top_logprobs=2)),
    "chat too many logprobs": (CHAT, chat(logprobs=True, top_logprobs=50)),
    "chat empty tools": (CHAT, chat(tools=[])),
    "chat tool choice without tools": (CHAT, chat(tool_choice="required")),
    "chat unknown tool": (CHAT, chat(tools=CHAT_TOOLS, tool_choice={"type": "function", "function": {"name": "x"}})),
    "chat wrong tool choice": (CHAT, chat(tools=CHAT_TOOLS, tool_choice="sometimes")),
    "chat stream options without a stream": (CHAT, chat(stream_options={"include_usage": True})),
    "chat no tokens": (CHAT, chat(max_tokens=0)),
    "chat no choices": (CHAT, chat(n=0)),
    "chat too long": (CHAT, chat(messages=[{"role": "user", "content": LONG}])),
    "chat too long stream": (CHAT, chat(messages=[{"role": "user", "content": LONG}], stream=True)),
    "chat too much": (CHAT, chat(max_tokens=9000)),
    "chat too much, newer name": (CHAT, chat(max_completion_tokens=9000)),
    "chat unknown model": (CHAT, chat(model="nope")),
    "chat no messages": (CHAT, {"model": "tiny"}),
    "chat wrong messages": (CHAT, {"model": "tiny", "messages": "x"}),
    "chat empty messages": (CHAT, chat(messages=[])),
    "chat a list": (CHAT, [1]),
    "chat not JSON": (CHAT, "not JSON"),
    "completion": (COMPLETIONS, completion()),
    "completion to the end": (COMPLETIONS, completion(**TO_THE_END)),
    "completion of ids": (COMPLETIONS, lambda engine: completion(prompt=engine.ids("one two three four five"))),
    "completions": (COMPLETIONS, completion(prompt=["a b c d", "e f g h"])),
    "completion echo": (COMPLETIONS, completion(echo=True)),
    "completion stream": (COMPLETIONS, completion(stream=True)),
    "completion stream to the end": (COMPLETIONS, completion(**TO_THE_END, **USAGE)),
    "completion logprobs": (COMPLETIONS, completion(logprobs=2)),
    "completion ids": (COMPLETIONS, completion(logprobs=0, **IDS)),
    "completion ids stream": (COMPLETIONS, completion(logprobs=0, **IDS, **USAGE)),
    "completion echo stream": (COMPLETIONS, completion(echo=True, stream=True)),
    "completion full": (COMPLETIONS, lambda engine: completion(prompt=engine.ids("a")[:1] * CONTEXT)),
    "completion too long": (COMPLETIONS, completion(prompt=LONG)),
    "completion too much": (COMPLETIONS, completion(max_tokens=9000)),
    "completion unknown model": (COMPLETIONS, completion(model="nope")),
    "completion unknown id": (COMPLETIONS, completion(prompt=[999_999_999])),
    "completion no prompt": (COMPLETIONS, {"model": "tiny"}),
    "tokenize": ("/tokenize", {"model": "tiny", "prompt": "hello there"}),
    "tokenize with texts": ("/tokenize", {"prompt": "hello there", "return_token_strs": True}),
    "tokenize messages": (
        "/tokenize",
        {"model": "tiny", "messages": USER, "add_generation_prompt": False, "tools": CHAT_TOOLS},
    ),
    "tokenize much": ("/tokenize", {"model": "tiny", "prompt": LONG}),
    "tokenize nothing": ("/tokenize", {"model": "tiny"}),
    "tokenize unknown model": ("/tokenize", {"model": "nope", "prompt": "x"}),
    "detokenize": ("/detokenize", lambda engine: {"model": "tiny", "tokens": engine.ids("hello there")}),
    "detokenize wrong": ("/detokenize", {"model": "tiny", "tokens": "x"}),
    "detokenize below zero": ("/detokenize", {"model": "tiny", "tokens": [-1]}),
    "message": (MESSAGES, messages()),
    "message to the end": (MESSAGES, messages(max_tokens=50, system="be brief")),
    "message stream": (MESSAGES, messages(stream=True)),
    "message stream to the end": (MESSAGES, messages(stream=True, max_tokens=50)),
    "message tool": (MESSAGES, chat(**ANTHROPIC_CALL)),
    "message tool stream": (MESSAGES, chat(**ANTHROPIC_CALL, stream=True)),
    "message any tool": (MESSAGES, chat(**{**ANTHROPIC_CALL, "tool_choice": {"type": "any"}})),
    "message unknown tool": (MESSAGES, chat(tools=ANTHROPIC_TOOLS, tool_choice={"type": "tool", "name": "nope"})),
    "message too long": (MESSAGES, chat(messages=[{"role": "user", "content": LONG}])),
    "message too long stream": (MESSAGES, chat(messages=[{"role": "user", "content": LONG}], stream=True)),
    "message too much": (MESSAGES, chat(max_tokens=9000)),
    "message unknown model": (MESSAGES, chat(model="nope")),
    "message no max_tokens": (MESSAGES, {"model": "tiny", "messages": USER}),
    "message wrong messages": (MESSAGES, chat(messages="x")),
    "message not JSON": (MESSAGES, "not JSON"),
    "count": (COUNT, {"model": "tiny", "messages": USER, "tools": ANTHROPIC_TOOLS, "system": "be brief"}),
    "count unknown model": (COUNT, {"model": "nope", "messages": USER}),
    "count too long": (COUNT, {"model": "tiny", "messages": [{"role": "user", "content": LONG}]}),
    "response": (RESPONSES, responses()),
    "response to the end": (RESPONSES, responses(**ENDED)),
    "response stream": (RESPONSES, responses(stream=True)),
    "response stream to the end": (RESPONSES, responses(**ENDED, stream=True)),
    "response settings": (
        RESPONSES,
        responses(
            instructions="be", text={"format": {"type": "text"}, "verbosity": "low"}, metadata={"a": "b"}, user="u"
        ),
    ),
    "response effort": (RESPONSES, responses(reasoning={"effort": "none"}, store=True, prompt_cache_key="x")),
    "response conversation": (RESPONSES, responses(input=CONVERSATION, max_output_tokens=2)),
    "response tool": (RESPONSES, responses(**RESPONSES_CALL)),
    "response tool stream": (RESPONSES, responses(**RESPONSES_CALL, stream=True)),
    "response required tool": (RESPONSES, responses(**{**RESPONSES_CALL, "tool_choice": "required"})),
    "response other tools": (
        RESPONSES,
        responses(
            tools=[{"type": "custom", "name": "patch"}, {"type": "web_search"}, {"type": "function", "name": "f"}]
        ),
    ),
    "response logprobs": (RESPONSES, responses(**OUTPUT_LOGPROBS)),
    "response logprobs stream": (RESPONSES, responses(**OUTPUT_LOGPROBS, stream=True)),
    "response too long": (RESPONSES, responses(input=LONG)),
    "response too long stream": (RESPONSES, responses(input=LONG, stream=True)),
    "response too much": (RESPONSES, responses(max_output_tokens=9000)),
    "response unknown model": (RESPONSES, responses(model="nope")),
    "response no input": (RESPONSES, {"model": "tiny"}),
    "response not JSON": (RESPONSES, "not JSON"),
    "response previous": (RESPONSES, responses(previous_response_id="resp_x")),
    "response background": (RESPONSES, responses(background=True)),
    "response reference": (RESPONSES, responses(input=[{"type": "item_reference", "id": "msg_1"}])),
    "response required without tools": (RESPONSES, responses(tool_choice="required")),
    "response unknown tool": (RESPONSES, responses(tools=TOOLS, tool_choice={"type": "function", "name": "nope"})),
    "stored response": (RESPONSES + "/resp_x", None),
    "cancel": (RESPONSES + "/resp_x/cancel", {}),
}

# What the tiny model does of itself, the other engine is told to do.
SCRIPTED: dict[str, tuple[str, Any, Step]] = {
    "chat thinks": (CHAT, chat(chat_template_kwargs={}), THOUGHT),
    "chat thinks, stream": (CHAT, chat(chat_template_kwargs={}, **USAGE), THOUGHT),
    "message thinks": (MESSAGES, chat(chat_template_kwargs={}), THOUGHT),
    "message thinks, stream": (MESSAGES, chat(chat_template_kwargs={}, stream=True), THOUGHT),
    "response thinks": (RESPONSES, responses(chat_template_kwargs={}), THOUGHT),
    "response thinks, stream": (RESPONSES, responses(chat_template_kwargs={}, stream=True), THOUGHT),
    "chat stops": (CHAT, chat(stop=[QUOTE], **ONE_ANSWER), QUOTED),
    "chat stops, stream": (CHAT, chat(stop=[QUOTE], **ONE_ANSWER, **USAGE), QUOTED),
    "message stops": (MESSAGES, messages(max_tokens=50, stop_sequences=[QUOTE]), QUOTED),
    "message stops, stream": (MESSAGES, messages(max_tokens=50, stop_sequences=[QUOTE], stream=True), QUOTED),
}


def ask(engine: Engine, path: str, body: dict[str, Any] | Callable[[Engine], Any] | None) -> Any:
    return shape_of(engine.send(path, body(engine) if callable(body) else body))


@pytest.mark.parametrize(("path", "body"), CASES.values(), ids=CASES)
def test_both_answer_alike(fake: Engine, real: Engine, path: str, body: Any) -> None:
    assert ask(fake, path, body) == ask(real, path, body)


@pytest.mark.parametrize(("path", "body", "step"), SCRIPTED.values(), ids=SCRIPTED)
def test_both_do_alike(fake: Engine, real: Engine, path: str, body: Any, step: Step) -> None:
    assert fake.fake
    fake.fake.script.append(step)
    assert ask(fake, path, body) == ask(real, path, body)


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES, "/v1/models", "/tokenize", "/version", "/metrics"])
def test_both_ask_for_the_key_where_vllm_does(fake: Engine, real: Engine, path: str) -> None:
    body = None if path in {"/v1/models", "/version", "/metrics"} else {"model": "tiny", "prompt": "x"}
    first, second = (engine.send(path, body, key="wrong") for engine in (fake, real))
    assert first.status_code == second.status_code
    if first.status_code == 401:
        assert first.json() == second.json()


def test_tokens_go_round(fake: Engine, real: Engine) -> None:
    text = "hello there, you two"
    for engine in (fake, real):
        assert engine.send("/detokenize", {"model": "tiny", "tokens": engine.ids(text)}).json() == {"prompt": text}
