"""Settings of a profile that contradict each other."""

from typing import Any

import pytest

from endpoints.profile_rules import contradictions

SOUND: dict[str, Any] = {
    "is_responses_native": False,
    "use_completions_api": False,
    "render_chat_template": False,
    "uses_reasoning_parser": True,
    "preserve_reasoning_in_assistant_content": False,
    "uses_interleaved_reasoning": True,
    "sequential_reasoning_allowed": True,
    "replace_developer_role_with_system": False,
    "return_token_id_information": False,
    "request_prompt_and_generation_token_ids": False,
    "think_start_tag": "<think>",
    "think_end_tag": "</think>",
    "begins_in_thought": False,
    "extra_body": {"top_k": 5},
    "sampling_overrides": {},
}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_completions_api": True, "render_chat_template": True},
        {"return_token_id_information": True, "request_prompt_and_generation_token_ids": True},
        {"is_responses_native": True},
        {"begins_in_thought": True},
        {"extra_body": "refused elsewhere", "sampling_overrides": None},
    ],
)
def test_what_goes_together(settings: dict[str, Any]) -> None:
    assert contradictions(SOUND | settings) == {}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"is_responses_native": True, "use_completions_api": True}, {"use_completions_api"}),
        ({"is_responses_native": True, "return_token_id_information": True}, {"return_token_id_information"}),
        ({"is_responses_native": True, "sequential_reasoning_allowed": False}, {"sequential_reasoning_allowed"}),
        ({"render_chat_template": True}, {"render_chat_template"}),
        ({"begins_in_thought": True, "uses_reasoning_parser": False}, {"begins_in_thought"}),
        ({"request_prompt_and_generation_token_ids": True}, {"request_prompt_and_generation_token_ids"}),
        (
            {"preserve_reasoning_in_assistant_content": True, "uses_interleaved_reasoning": False},
            {"preserve_reasoning_in_assistant_content"},
        ),
        ({"think_start_tag": "</think>"}, {"think_end_tag"}),
        ({"extra_body": {"stream": True, "top_k": 1}}, {"extra_body"}),
        ({"sampling_overrides": {"n": 2}}, {"sampling_overrides"}),
    ],
)
def test_what_does_not(settings: dict[str, Any], named: set[str]) -> None:
    assert set(contradictions(SOUND | settings)) == named
