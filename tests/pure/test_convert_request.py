"""Responses requests to chat completion requests: one row a case."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.exchange import ResponsesExchange
from responses_api.convert.profile import ProfileSettings, settings_of_gateway_removed
from responses_api.errors import RequestError

PLAIN = ProfileSettings(name="p", engine_model="engine-model")
INLINE = ProfileSettings(name="p", engine_model="engine-model", uses_reasoning_parser=False)
SYSTEM = ProfileSettings(name="p", engine_model="engine-model", developer_becomes_system=True)

HI = {"role": "user", "content": "hi"}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
WEATHER_CHAT = {"type": "function", "function": {"name": "weather", "parameters": WEATHER["parameters"]}}


def sent(settings: ProfileSettings = PLAIN, **request: Any) -> dict[str, Any]:
    body = msgspec.json.encode({"model": "p", "input": [HI], **request})
    decoded: dict[str, Any] = msgspec.json.decode(ResponsesExchange(body).engine_body(settings))
    return decoded


def rs(*texts: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text} for text in texts]}


def said(*texts: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id: str, text: Any = "out") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def chat_call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(content: str | None, reasoning: str = "", **more: Any) -> dict[str, Any]:
    thoughts = {"reasoning_content": reasoning, "reasoning": reasoning} if reasoning else {}
    return {"role": "assistant", "content": content, **thoughts, **more}


def text_parts(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("hi", [{"role": "user", "content": text_parts("hi")}]),
        ([], []),
        ([HI], [HI]),
        ([{**HI, "type": "message"}], [HI]),
        ([{**HI, "type": None}], [HI]),
        ([{**HI, "extra": 1}], [HI]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}],
            [{"role": "user", "content": text_parts("a", "b")}],
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}],
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}}],
                }
            ],
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "data:,"}, "detail": "low"}]}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}}]}],
        ),
        # Roles stay where they are.
        (
            [{"role": "developer", "content": "D"}, {"role": "system", "content": "S"}, HI],
            [{"role": "developer", "content": "D"}, {"role": "system", "content": "S"}, HI],
        ),
        ([HI, {"role": "system", "content": "S"}, HI], [HI, {"role": "system", "content": "S"}, HI]),
        # The assistant's side of a turn is one message.
        ([{"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}], [assistant("AB")]),
        ([said("a1", "a2")], [assistant("a1a2")]),
        ([said("")], [assistant(None)]),
        ([{"role": "assistant", "content": None}], [assistant(None)]),
        ([HI, said("A"), HI, said("B")], [HI, assistant("A"), HI, assistant("B")]),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}],
            [assistant("I will not.")],
        ),
        # Reasoning goes back as reasoning, all of it, in order.
        ([rs("t"), HI], [assistant("", "t"), HI]),
        ([rs("t1", "t2"), said("ans")], [assistant("ans", "t1\n\nt2")]),
        ([said("ans"), rs("t1")], [assistant("ans", "t1")]),
        ([rs(""), said("ans")], [assistant("ans")]),
        (
            [rs("t1"), said("ans"), rs("t2"), call("c1")],
            [assistant("ans", "t1\n\nt2", tool_calls=[chat_call("c1")])],
        ),
        (
            [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]}],
            [assistant("", "r")],
        ),
        ([{**rs("short"), "content": [{"type": "reasoning_text", "text": "long"}]}], [assistant("", "long")]),
        ([{**rs("t"), "encrypted_content": "gAAA"}], [assistant("", "t")]),
        ([rs("x</think>y"), said("z")], [assistant("z", "x</think>y")]),
        ([said("<think>x</think>  y")], [assistant("  y", "x")]),
        ([said("<think>x</think>y<think>z</think>w")], [assistant("yw", "x\n\nz")]),
        ([{"role": "user", "content": "<think>x</think>y"}], [{"role": "user", "content": "<think>x</think>y"}]),
        # Tool calls.
        (
            [HI, call("c1", "f", '{"a": 1}'), output("c1", "o")],
            [
                HI,
                assistant(None, tool_calls=[chat_call("c1", "f", '{"a": 1}')]),
                {"role": "tool", "tool_call_id": "c1", "content": "o"},
            ],
        ),
        (
            [call("c1"), call("c2"), output("c2"), output("c1")],
            [
                assistant(None, tool_calls=[chat_call("c1"), chat_call("c2")]),
                {"role": "tool", "tool_call_id": "c2", "content": "out"},
                {"role": "tool", "tool_call_id": "c1", "content": "out"},
            ],
        ),
        (
            [call("c1"), said("after"), output("c1", [{"type": "input_text", "text": "o"}])],
            [
                assistant("after", tool_calls=[chat_call("c1")]),
                {"role": "tool", "tool_call_id": "c1", "content": text_parts("o")},
            ],
        ),
        ([call("c1", "f", "not json")], [assistant(None, tool_calls=[chat_call("c1", "f", "not json")])]),
        (
            [rs("a"), call("c1"), output("c1"), rs("b"), call("c2"), output("c2")],
            [
                assistant("", "a", tool_calls=[chat_call("c1")]),
                {"role": "tool", "tool_call_id": "c1", "content": "out"},
                assistant("", "b", tool_calls=[chat_call("c2")]),
                {"role": "tool", "tool_call_id": "c2", "content": "out"},
            ],
        ),
    ],
)
def test_input_becomes_messages(given: Any, messages: list[dict[str, Any]]) -> None:
    assert sent(input=given)["messages"] == messages


@pytest.mark.parametrize(
    ("instructions", "given", "messages"),
    [
        ("I", [HI], [{"role": "system", "content": "I"}, HI]),
        ("", [HI], [HI]),
        (None, [HI], [HI]),
        (
            "I",
            [
                {"role": "developer", "content": "D"},
                {"role": "system", "content": [{"type": "input_text", "text": "S"}]},
                HI,
            ],
            [{"role": "system", "content": "I\n\nD\n\nS"}, HI],
        ),
        (
            "I",
            [HI, {"role": "system", "content": "S"}],
            [{"role": "system", "content": "I"}, HI, {"role": "system", "content": "S"}],
        ),
    ],
)
def test_instructions_take_in_the_leading_system_messages(
    instructions: str | None, given: Any, messages: list[dict[str, Any]]
) -> None:
    assert sent(input=given, instructions=instructions)["messages"] == messages


def test_a_profile_may_rename_the_developer() -> None:
    given = [{"role": "developer", "content": "D"}, HI, {"role": "developer", "content": "E"}]
    assert [message["role"] for message in sent(SYSTEM, input=given)["messages"]] == ["system", "user", "system"]


def test_without_a_reasoning_parser_thoughts_stay_in_the_text() -> None:
    given = [rs("t1", "t2"), said("ans<think>x</think>"), call("c1")]
    expected = "<think>t1</think><think>t2</think>ans<think>x</think>"
    assert sent(INLINE, input=given)["messages"] == [assistant(expected, tool_calls=[chat_call("c1")])]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("request_fields", "engine_fields"),
    [
        ({}, {}),
        ({"max_output_tokens": 10}, {"max_tokens": 10}),
        ({"max_output_tokens": None}, {}),
        (
            {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["x"]},
            {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["x"]},
        ),
        ({"temperature": None}, {"temperature": None}),
        ({"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}, {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}),
        ({"presence_penalty": 0.5, "frequency_penalty": 1}, {"presence_penalty": 0.5, "frequency_penalty": 1.0}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"effort": None}}, {}),
        ({"metadata": {"a": "b"}, "store": True, "service_tier": "auto", "prompt_cache_key": "k"}, {}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"user": "u"}, {"user": "u"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        ({"tools": [WEATHER]}, {"tools": [WEATHER_CHAT]}),
        (
            {"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": True},
            {"tools": [WEATHER_CHAT], "tool_choice": "auto", "parallel_tool_calls": True},
        ),
        ({"tools": [WEATHER], "tool_choice": "required"}, {"tools": [WEATHER_CHAT], "tool_choice": "required"}),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}},
            {"tools": [WEATHER_CHAT], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        ),
        ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": None, "strict": True, "description": "d"}]},
            {"tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": True}}]},
        ),
        ({"stream": False, "stream_options": {"include_obfuscation": False}}, {}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False, "background": False, "truncation": "disabled", "top_logprobs": 0}, {}),
    ],
)
def test_fields_reach_the_engine(request_fields: dict[str, Any], engine_fields: dict[str, Any]) -> None:
    assert sent(**request_fields) == {"model": "engine-model", "messages": [HI], **engine_fields}


@pytest.mark.parametrize(
    ("request_fields", "param", "code"),
    [
        ({"stream": True, "stream_options": {"include_usage": True}}, "stream_options", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"truncation": "auto"}, "truncation", "unsupported_parameter"),
        ({"max_tool_calls": 3}, "max_tool_calls", "unsupported_parameter"),
        ({"top_logprobs": 3}, "top_logprobs", "unsupported_parameter"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]", "unsupported_parameter"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"input": [HI, {"content": "x"}]}, "input[1].type", "missing_required_parameter"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": ["message"], "role": "user"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content", "invalid_type"),
        (
            {"input": [HI, HI, {"role": "user", "content": [{"type": "input_text", "text": 1}]}]},
            "input[2].content[0].text",
            "invalid_type",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].type",
            "invalid_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"text": "a"}]}]},
            "input[0].content[0].type",
            "missing_required_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].image_url",
            "missing_required_parameter",
        ),
        ({"input": [output("c9")]}, "input[0].call_id", "invalid_value"),
        (
            {"input": [call("c1"), output("c1", [{"type": "input_image", "image_url": "data:,"}])]},
            "input[1].output[0].type",
            "invalid_value",
        ),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name", "missing_required_parameter"),
        (
            {"input": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "c"}]}]},
            "input[0].tool_calls",
            "unsupported_parameter",
        ),
        (
            {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]},
            "input[0].encrypted_content",
            "unsupported_parameter",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "name": "f", "defer": 1}]}, "tools[0].defer", "unknown_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": "maybe", "tools": [WEATHER]}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [WEATHER]}, "tool_choice.name", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": []}, "tools": [WEATHER]},
            "tool_choice.type",
            "invalid_value",
        ),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(request_fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        sent(**request_fields)
    assert (caught.value.param, caught.value.code, caught.value.status) == (param, code, 400)


def test_forced_settings_beat_the_request_and_the_request_beats_defaults() -> None:
    settings = ProfileSettings(
        name="p",
        engine_model="engine-model",
        extra_body={"temperature": 0.1, "top_k": 9, "max_tokens": 5, "chat_template_kwargs": {"a": 0}},
        chat_template_kwargs={"a": 1, "b": 1},
        sampling_overrides={"top_p": 1.0},
    )
    body = sent(settings, temperature=None, top_p=0.5, chat_template_kwargs={"b": 2})
    assert (body["temperature"], body["top_k"], body["max_tokens"], body["top_p"]) == (None, 9, 5, 1.0)
    assert body["chat_template_kwargs"] == {"a": 1, "b": 2}
    assert body["model"] == "engine-model"


def test_a_profile_cannot_set_what_the_gateway_owns() -> None:
    extra = {"model": "x", "messages": [], "stream": True, "stream_options": {}, "top_k": 1}
    assert settings_of_gateway_removed(extra) == {"top_k": 1}
