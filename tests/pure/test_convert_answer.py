"""Chat completions to response resources: one row a case."""

from itertools import count
from typing import Any

import msgspec
import pytest

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import BadAnswerError
from tests.contract.schemas import check_response

SETTINGS = ProfileSettings(name="p", engine_model="m", extra_body={"temperature": 0.25, "max_tokens": 64})
INLINE = ProfileSettings(name="p", engine_model="m", uses_reasoning_parser=False)


def stamp() -> Stamp:
    numbers = count(1)
    return Stamp("resp_0", 1000, 1001, lambda prefix: f"{prefix}_{next(numbers)}")


def completion(finish: Any = "stop", usage: Any = None, **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    return msgspec.json.encode({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage})


def answer(raw: bytes, settings: ProfileSettings = SETTINGS, **request: Any) -> dict[str, Any]:
    exchange = ResponsesExchange(msgspec.json.encode({"model": "p", "input": "hi", **request}))
    exchange.use(settings)
    exchange.engine_body()
    body = exchange.answer(raw, stamp()).body
    decoded: dict[str, Any] = msgspec.json.decode(body)
    check_response(decoded)
    return decoded


def thought(number: int, *texts: str, status: str = "completed") -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in texts]
    return {"id": f"rs_{number}", "type": "reasoning", "status": status, "summary": summary}


def message(number: int, text: str, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": status, "content": content}


def call(number: int, call_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    fields = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **fields}


def tool(call_id: Any = "c1", arguments: Any = "{}", name: Any = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("said", "output"),
    [
        ({"content": "hello"}, [message(1, "hello")]),
        ({"content": "<think>a</think>\n\nb"}, [thought(1, "a"), message(2, "\n\nb")]),
        ({"content": "<think>a</think>x<think>b</think>y"}, [thought(1, "a", "b"), message(2, "xy")]),
        ({"content": "<think>a</think><think>b</think>y"}, [thought(1, "a", "b"), message(2, "y")]),
        ({"content": "<think>abc"}, [thought(1, "abc")]),
        ({"content": "reason</think>answer"}, [thought(1, "reason"), message(2, "answer")]),
        ({"content": "<think>a<think>b</think>c</think>d"}, [thought(1, "a<think>b", "c"), message(2, "d")]),
        ({"content": "<think></think>ans"}, [thought(1, ""), message(2, "ans")]),
        ({"content": "<think>a</think>"}, [thought(1, "a")]),
        ({"reasoning": "a", "content": "b"}, [thought(1, "a"), message(2, "b")]),
        ({"reasoning_content": "a", "content": "b"}, [thought(1, "a"), message(2, "b")]),
        ({"reasoning_content": "a", "reasoning": "x", "content": "b"}, [thought(1, "a"), message(2, "b")]),
        ({"reasoning": "a"}, [thought(1, "a")]),
        ({"reasoning": "x</think>y", "content": "b"}, [thought(1, "x</think>y"), message(2, "b")]),
        ({"reasoning": "a", "content": "<think>c</think>d"}, [thought(1, "a", "c"), message(2, "d")]),
        ({"content": None}, [message(1, "")]),
        ({"content": ""}, [message(1, "")]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [message(1, "ab")]),
        ({"tool_calls": [tool("c1", "")]}, [call(1, "c1", "")]),
        (
            {"content": "x", "tool_calls": [tool("c1"), tool("c2", '{"a": 1}')]},
            [message(1, "x"), call(2, "c1"), call(3, "c2", '{"a": 1}')],
        ),
        ({"reasoning": "a", "tool_calls": [tool()]}, [thought(1, "a"), call(2, "c1")]),
        ({"tool_calls": [tool(None)]}, [call(2, "call_1")]),
        ({"tool_calls": [tool("c1", {"a": [1]})]}, [call(1, "c1", '{"a":[1]}')]),
        ({"tool_calls": [tool("c1", None)]}, [call(1, "c1", "{}")]),
        ({"tool_calls": []}, [message(1, "")]),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [call(2, "call_1")]),
        ({"content": "x", "function_call": None, "tool_calls": None, "refusal": None}, [message(1, "x")]),
    ],
)
def test_what_was_said_becomes_items(said: dict[str, Any], output: list[dict[str, Any]]) -> None:
    body = answer(completion(**said))
    assert body["output"] == output
    assert (body["status"], body["incomplete_details"], body["completed_at"]) == ("completed", None, 1001)


def test_a_refusal_is_a_part_of_the_message() -> None:
    refusal = {"type": "refusal", "refusal": "I will not."}
    assert answer(completion(refusal="I will not."))["output"][0]["content"] == [refusal]
    both = answer(completion(refusal="I will not.", content="Sorry."))["output"][0]["content"]
    assert both == [{"type": "output_text", "text": "Sorry.", "annotations": []}, refusal]


def test_without_a_reasoning_parser_text_is_verbatim_and_the_engines_own_reasoning_is_kept() -> None:
    assert answer(completion(content="<think>a</think>b"), INLINE)["output"] == [message(1, "<think>a</think>b")]
    assert answer(completion(content="b", reasoning="a"), INLINE)["output"] == [thought(1, "a"), message(2, "b")]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("repetition", "completed", None),
        (None, "completed", None),
        ("abort", "failed", None),
    ],
)
def test_the_finish_reason_is_the_status(finish: str | None, status: str, reason: str | None) -> None:
    body = answer(completion(finish, content="x"))
    assert (body["status"], body["incomplete_details"]) == (status, {"reason": reason} if reason else None)
    assert body["output"] == [message(1, "x", "completed" if status == "completed" else "incomplete")]
    assert (body["completed_at"] is None) == (status != "completed")
    assert (body["error"] is None) == (status != "failed")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        (
            {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": None},
            (3, 4, 0, 0),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            (3, 4, 2, 1),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 4, "cache_read_input_tokens": 2}, (3, 4, 2, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "reasoning_output_tokens": 1}, (3, 4, 0, 1)),
        ({"prompt_tokens": 3, "total_tokens": 7}, (3, 4, 0, 0)),
        ({"completion_tokens": 4, "total_tokens": 7}, (3, 4, 0, 0)),
        ({"completion_tokens": 4}, (0, 4, 0, 0)),
        ({}, None),
        ([3, 4], None),
        ({"prompt_tokens": "3", "completion_tokens": -4}, None),
    ],
)
def test_usage_is_renamed(usage: Any, expected: tuple[int, int, int, int] | None) -> None:
    found = answer(completion(usage=usage, content="x"))["usage"]
    if expected is None:
        assert found is None
        return
    taken, given, cached, reasoning = expected
    assert found == {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": taken + given,
    }


def test_defaults_are_filled_and_settings_are_those_in_effect() -> None:
    body = answer(completion(content="x"))
    assert body["temperature"] == 0.25
    assert body["max_output_tokens"] == 64
    assert (body["top_p"], body["presence_penalty"], body["frequency_penalty"], body["top_logprobs"]) == (1, 0, 0, 0)
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == ([], "auto", True)
    assert body["text"] == {"format": {"type": "text"}}
    assert (body["truncation"], body["service_tier"], body["metadata"]) == ("disabled", "default", {})
    assert (body["store"], body["background"], body["reasoning"], body["error"]) == (False, False, None, None)
    assert (body["model"], body["id"], body["object"], body["created_at"]) == ("p", "resp_0", "response", 1000)


def test_the_request_is_echoed() -> None:
    tools = [{"type": "function", "name": "f"}]
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    body = answer(
        completion(content="x"),
        instructions="I",
        metadata={"a": "b"},
        tools=tools,
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "low"},
        prompt_cache_key="k",
        safety_identifier="s",
        top_p=0.5,
    )
    assert body["tools"] == [{**tools[0], "description": None, "parameters": None, "strict": None}]
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    assert body["text"] == {"format": {**schema, "description": None}, "verbosity": "low"}
    assert body["reasoning"] == {"effort": "low", "summary": None}
    assert (body["instructions"], body["metadata"], body["parallel_tool_calls"]) == ("I", {"a": "b"}, False)
    assert (body["prompt_cache_key"], body["safety_identifier"], body["top_p"]) == ("k", "s", 0.5)


def test_a_choice_of_allowed_tools_is_echoed_whole() -> None:
    tools = [{"type": "function", "name": "f"}]
    choice = {"type": "allowed_tools", "tools": tools}
    assert answer(completion(content="x"), tools=tools, tool_choice=choice)["tool_choice"] == {"mode": "auto", **choice}


def test_the_empty_answer_has_the_form_that_rollout_harnesses_know() -> None:
    exchange = ResponsesExchange(b'{"model": "p", "input": "hi"}')
    exchange.use(SETTINGS)
    exchange.engine_body()
    raw = exchange.empty_answer(stamp())
    body = msgspec.json.decode(raw)
    check_response(body)
    assert body["output"] == [message(1, "")]
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (body["usage"], body["error"], body["completed_at"]) == (None, None, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"\xff",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": ' + b"[" * 100_000,
    ],
)
def test_garbage_from_an_engine_is_its_fault(raw: bytes) -> None:
    with pytest.raises(BadAnswerError):
        answer(raw)
