"""Which settings of a config profile contradict each other. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# What the gateway itself decides in a request to an engine: neither a profile nor a caller's `extra_body` sets it.
GATEWAY_OWNED = frozenset(
    {
        "model",
        "messages",
        "input",
        "prompt",
        "stream",
        "stream_options",
        "n",
        "best_of",
        "echo",
        "use_beam_search",
        "request_id",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
    }
)

NAMES = (
    "extra_body",
    "sampling_overrides",
    "is_responses_native",
    "use_completions_api",
    "render_chat_template",
    "uses_reasoning_parser",
    "preserve_reasoning_in_assistant_content",
    "uses_interleaved_reasoning",
    "sequential_reasoning_allowed",
    "replace_developer_role_with_system",
    "return_token_id_information",
    "request_prompt_and_generation_token_ids",
    "think_start_tag",
    "think_end_tag",
    "begins_in_thought",
)


_PAIRS: Sequence[tuple[str, Callable[[Mapping[str, Any]], bool], str]] = (
    (
        "render_chat_template",
        lambda settings: settings["render_chat_template"] and not settings["use_completions_api"],
        "This is for the completions API: switch that on too, or this off.",
    ),
    (
        "request_prompt_and_generation_token_ids",
        lambda settings: (
            settings["request_prompt_and_generation_token_ids"] and not settings["return_token_id_information"]
        ),
        "Without 'return token ids' nobody would see them.",
    ),
    (
        "preserve_reasoning_in_assistant_content",
        lambda settings: (
            settings["preserve_reasoning_in_assistant_content"] and not settings["uses_interleaved_reasoning"]
        ),
        "Interleaved reasoning is off, so no reasoning of earlier turns goes back that could be kept.",
    ),
    (
        "think_end_tag",
        lambda settings: settings["think_start_tag"] == settings["think_end_tag"],
        "The tags that open and close a thought are different.",
    ),
    (
        "begins_in_thought",
        lambda settings: settings["begins_in_thought"] and not settings["uses_reasoning_parser"],
        "Without a reasoning parser no thoughts are looked for in the text.",
    ),
)


def contradictions(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong, by the name of the setting to change, given the settings of NAMES."""
    found: dict[str, str] = {}
    if settings["is_responses_native"]:
        for name, harmless in (
            ("use_completions_api", False),
            ("return_token_id_information", False),
            ("replace_developer_role_with_system", False),
            ("sequential_reasoning_allowed", True),
        ):
            if settings[name] is not harmless:
                found[name] = (
                    "An engine that speaks Responses itself is asked as the caller asks: this needs the other way."
                )
    found |= {name: why for name, is_wrong, why in _PAIRS if is_wrong(settings)}
    for name in ("extra_body", "sampling_overrides"):
        owned = GATEWAY_OWNED.intersection(settings[name]) if isinstance(settings[name], dict) else ()
        if owned:
            found[name] = f"The gateway decides these itself: {', '.join(sorted(owned))}."
    return found
