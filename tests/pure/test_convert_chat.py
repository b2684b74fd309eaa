"""Chat completions pass through, but for what the profile asks."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.errors import BadAnswerError, RequestError

PLAIN = ProfileSettings(name="p", engine_model="engine-model")
INLINE = ProfileSettings(name="p", engine_model="engine-model", uses_reasoning_parser=False)
HI = {"role": "user", "content": "hi"}
STAMP = Stamp("chatcmpl-0", 1000, 1001, lambda prefix: f"{prefix}_1")


def sent(settings: ProfileSettings = PLAIN, **request: Any) -> dict[str, Any]:
    exchange = ChatExchange(msgspec.json.encode({"model": "p", "messages": [HI], **request}))
    exchange.use(settings)
    decoded: dict[str, Any] = msgspec.json.decode(exchange.engine_body())
    return decoded


def answer(settings: ProfileSettings, **message: Any) -> dict[str, Any]:
    exchange = ChatExchange(msgspec.json.encode({"model": "p", "messages": [HI]}))
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop", "stop_reason": 7}
    raw = {"id": "x", "object": "chat.completion", "created": 1, "model": "engine-model", "choices": [choice]}
    exchange.use(settings)
    body = exchange.answer(msgspec.json.encode(raw), STAMP).body
    decoded: dict[str, Any] = msgspec.json.decode(body)
    return decoded


def test_unknown_fields_pass_and_the_model_is_the_engines() -> None:
    assert sent(guided_json={"a": 1}, n=2) == {
        "model": "engine-model",
        "messages": [HI],
        "guided_json": {"a": 1},
        "n": 2,
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "<think>x</think>y"}, {"content": "y", "reasoning_content": "x", "reasoning": "x"}),
        (
            {"content": [{"type": "text", "text": "<think>x</think>y"}]},
            {"content": "y", "reasoning_content": "x", "reasoning": "x"},
        ),
        (
            {"content": "<think>x</think>", "tool_calls": [{"id": "c"}]},
            {"content": "", "reasoning_content": "x", "reasoning": "x", "tool_calls": [{"id": "c"}]},
        ),
        (
            {"content": "<think>b</think>y", "reasoning": "a"},
            {"content": "y", "reasoning_content": "a\n\nb", "reasoning": "a\n\nb"},
        ),
        ({"content": "plain", "reasoning": "a"}, {"content": "plain", "reasoning": "a"}),
        ({"content": None}, {"content": None}),
    ],
)
def test_thoughts_in_the_history_are_set_apart(message: dict[str, Any], expected: dict[str, Any]) -> None:
    body = sent(messages=[HI, {"role": "assistant", **message}, HI])
    assert body["messages"] == [HI, {"role": "assistant", **expected}, HI]
    untouched = sent(INLINE, messages=[{"role": "assistant", **message}])
    assert untouched["messages"] == [{"role": "assistant", **message}]


def test_messages_that_are_no_objects_are_left_to_the_engine_to_refuse() -> None:
    assert sent(messages=["x", None, {"role": "assistant", "content": 5}])["messages"][:2] == ["x", None]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": []}, "model", "missing_required_parameter"),
        ({"model": "p"}, "messages", "missing_required_parameter"),
        ({"model": 1, "messages": []}, "model", "invalid_type"),
        ({"model": "p", "messages": "hi"}, "messages", "invalid_type"),
        ({"model": "p", "messages": [], "stream": "yes"}, "stream", "invalid_type"),
        ({"model": "p", "messages": [], "stream": True, "stream_options": []}, "stream_options", "invalid_type"),
        ([], None, "invalid_type"),
    ],
)
def test_a_bad_request_is_refused_by_name(body: Any, param: str | None, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        ChatExchange(msgspec.json.encode(body))
    assert (caught.value.param, caught.value.code) == (param, code)


def test_the_answer_keeps_the_engines_fields_under_our_id_and_model() -> None:
    body = answer(PLAIN, content="hello", annotations=None)
    assert (body["id"], body["model"]) == ("chatcmpl-0", "p")
    assert body["choices"][0]["stop_reason"] == 7
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hello", "annotations": None}


def test_reasoning_comes_back_tagged_where_the_history_will_find_it() -> None:
    message = answer(PLAIN, content="b", reasoning="a")["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "<think>a</think>b"}
    history = sent(messages=[message])["messages"]
    assert history == [{"role": "assistant", "content": "b", "reasoning_content": "a", "reasoning": "a"}]
    assert answer(PLAIN, content=None, reasoning="a")["choices"][0]["message"]["content"] == "<think>a</think>"
    assert answer(INLINE, content="b", reasoning="a")["choices"][0]["message"]["reasoning"] == "a"


def test_the_empty_answer_has_the_form_that_rollout_harnesses_know() -> None:
    exchange = ChatExchange(b'{"model": "p", "messages": []}')
    exchange.use(PLAIN)
    raw = exchange.empty_answer(STAMP)
    body = msgspec.json.decode(raw)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": None, "tool_calls": None}
    assert (body["choices"][0]["finish_reason"], body["usage"]) == ("length", None)


@pytest.mark.parametrize("unread", [b'"\xff"', b"[" * 5000 + b"]" * 5000])
def test_a_field_that_cannot_be_read_is_the_engines_fault(unread: bytes) -> None:
    exchange = ChatExchange(msgspec.json.encode({"model": "p", "messages": [HI]}))
    exchange.use(PLAIN)
    with pytest.raises(BadAnswerError):
        exchange.answer(b'{"x": ' + unread + b', "choices": [{"message": {"content": "hi"}}]}', STAMP)
