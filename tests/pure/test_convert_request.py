"""Responses requests to chat completion requests: one row a case."""

from typing import Any

import pytest

from responses_api.convert.profile import ProfileSettings, settings_of_gateway_removed
from responses_api.convert.request import INCLUDES, LOGPROBS
from responses_api.errors import RequestError
from tests.pure.conversations import HI, sent

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
WEATHER_CHAT = {"type": "function", "function": {"name": "weather", "parameters": WEATHER["parameters"]}}

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("request_fields", "engine_fields"),
    [
        ({}, {}),
        ({"max_output_tokens": 1}, {"max_tokens": 1}),
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
        ({"include": [*INCLUDES[1:]]}, {}),
        ({"include": [LOGPROBS]}, {"logprobs": True, "top_logprobs": 0}),
        ({"include": [LOGPROBS], "top_logprobs": 5}, {"logprobs": True, "top_logprobs": 5}),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"reasoning": {"effort": "none", "context": "auto", "mode": "standard"}}, {"reasoning_effort": "none"}),
        (
            {
                "client_metadata": {"turn_id": "t", "window": {"number": 0}},
                "prompt_cache_retention": "24h",
                "prompt_cache_options": {"ttl": "30m"},
                "safety_identifier": "s",
                "service_tier": "flex",
                "n": 1,
                "context_management": [],
            },
            {},
        ),
        (
            {"structured_outputs": {"regex": "a+"}, "priority": -1, "cache_salt": "s", "allowed_token_ids": [1]},
            {"structured_outputs": {"regex": "a+"}, "priority": -1, "cache_salt": "s", "allowed_token_ids": [1]},
        ),
        (
            {"continue_final_message": True, "add_generation_prompt": False, "vllm_xargs": {"a": 1}},
            {"continue_final_message": True, "add_generation_prompt": False, "vllm_xargs": {"a": 1}},
        ),
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
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_parameter"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"moderation": {}}, "moderation", "unsupported_parameter"),
        ({"reasoning": {"context": "last_turn"}}, "reasoning.context", "invalid_value"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "unsupported_parameter"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"top_logprobs": -1}, "top_logprobs", "integer_below_min_value"),
        ({"max_tool_calls": -1}, "max_tool_calls", "integer_below_min_value"),
        ({"include": ["message.output_text.annotations"]}, "include[0]", "unsupported_parameter"),
        ({"echo": True}, "echo", "unknown_parameter"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"max_tokens": 5}, "max_tokens", "unknown_parameter"),
        ({"prompt_logprobs": 1}, "prompt_logprobs", "unknown_parameter"),
        ({"guided_json": {}}, "guided_json", "unknown_parameter"),
        ({"kv_transfer_params": {}}, "kv_transfer_params", "unknown_parameter"),
        ({"truncation": "middle"}, "truncation", "invalid_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "name": "f", "defer": 1}]}, "tools[0].defer", "unknown_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": "maybe", "tools": [WEATHER]}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [WEATHER]}, "tool_choice.name", "invalid_value"),
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
