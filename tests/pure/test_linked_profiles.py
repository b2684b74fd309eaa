"""An engine and a profile that contradict each other: what is said, and what is not."""

from typing import Any

import pytest

from launcher.linked_profiles import warnings

PROFILE: dict[str, Any] = {
    "name": "tiny",
    "uses_reasoning_parser": True,
    "return_token_id_information": False,
    "request_prompt_and_generation_token_ids": False,
    "chat_template_kwargs": {},
    "extra_body": {},
    "sampling_overrides": {},
}
TOOLS = {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}
ASKS = {"request_prompt_and_generation_token_ids": True}
QUIET: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("kwargs", "profile", "version", "said"),
    [
        ({"reasoning_parser": "qwen3"}, {"uses_reasoning_parser": False}, "", "switch 'uses reasoning parser' on"),
        ({"reasoning-parser": "qwen3"}, {"uses_reasoning_parser": False}, "", "remove reasoning_parser from"),
        ({"tool_call_parser": "hermes"}, {}, "", "only with enable_auto_tool_choice: set that to true"),
        ({"tool_call_parser": "hermes", "enable_auto_tool_choice": False}, {}, "", "set that to true"),
        ({"enable_auto_tool_choice": True}, {}, "", "no tool_call_parser: set one"),
        ({}, {"extra_body": {"parallel_tool_calls": False}}, "", "tiny sets parallel_tool_calls"),
        ({}, {"sampling_overrides": {"parallel_tool_calls": True}}, "", "the engine calls no tools"),
        ({"reasoning_parser": "deepseek_r1"}, QUIET, "", "takes an answer without thoughts for a thought"),
        ({"reasoning_parser": "deepseek_r1"}, {"extra_body": QUIET}, "", "remove enable_thinking from the profile"),
        ({"max_logprobs": 0}, {"return_token_id_information": True}, "", "remove max_logprobs from the engine"),
        ({}, ASKS, "0.10.1", "which vLLM 0.10.1 does not give"),
        ({}, ASKS, "0.9.2.post1", "switch 'ask the engine for token ids' off"),
    ],
)
def test_a_contradiction_says_what_to_change(
    kwargs: dict[str, Any], profile: dict[str, Any], version: str, said: str
) -> None:
    (warning,) = warnings(kwargs, [PROFILE | profile], version)
    assert said in warning


@pytest.mark.parametrize(
    ("kwargs", "profile", "version"),
    [
        ({}, {}, ""),
        ({"reasoning_parser": "qwen3", **TOOLS}, {}, "0.32.0"),
        ({}, {"uses_reasoning_parser": False}, ""),
        ({"tool_call_parser": "openai"}, {}, ""),
        (TOOLS, {"extra_body": {"parallel_tool_calls": False}}, ""),
        ({"reasoning_parser": "qwen3"}, QUIET, ""),
        (
            {"reasoning_parser": "deepseek_r1"},
            {"extra_body": QUIET, "chat_template_kwargs": {"enable_thinking": 1}},
            "",
        ),
        ({"max_logprobs": 0}, {}, ""),
        ({"max_logprobs": 20}, {"return_token_id_information": True}, ""),
        ({}, ASKS, "0.10.2"),
        ({}, ASKS, "0.32.0+cpu"),
        ({}, ASKS, "0.1.dev1+g1234"),
        ({}, ASKS, ""),
        ("refused elsewhere", {"uses_reasoning_parser": False}, ""),
    ],
)
def test_what_goes_together(kwargs: object, profile: dict[str, Any], version: str) -> None:
    assert warnings(kwargs, [PROFILE | profile], version) == []


def test_every_profile_is_looked_at_and_an_engine_without_any_is_left_alone() -> None:
    kwargs = {"reasoning_parser": "qwen3", "tool_call_parser": "hermes"}
    off = [PROFILE | {"name": name, "uses_reasoning_parser": False} for name in ("a", "b")]
    found = warnings(kwargs, [PROFILE, *off])
    assert [warning.partition(" has ")[0][:9] for warning in found] == ["The engin", "Profile a", "Profile b"]
    assert warnings(kwargs, []) == []
