"""Where a profile and the engine that it is linked to contradict each other. Pure.

A contradiction is a warning and no error: a profile may be linked first and changed then.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launcher.command import canonical

Settings = Mapping[str, Any]

# What is read of a profile.
NAMES = (
    "name",
    "uses_reasoning_parser",
    "return_token_id_information",
    "request_prompt_and_generation_token_ids",
    "chat_template_kwargs",
    "extra_body",
    "sampling_overrides",
)
IDS_SINCE = (0, 10, 2)  # vLLM's first version that answers with `token_ids`
ALWAYS_CALLS = frozenset({"openai"})  # gpt-oss: vLLM 0.32 lets it call tools either way
TAKES_ALL = frozenset({"deepseek_r1"})  # parsers that take a text without an end tag for one long thought


def warnings(kwargs: object, profiles: Sequence[Settings], version: str = "") -> list[str]:
    """Return what contradicts what, each with the setting to change; the engine's own contradictions first.

    `version` is that of the engine's vLLM, "" if nobody knows it. Arguments that are no object are refused elsewhere.
    """
    if not isinstance(kwargs, dict) or not profiles:
        return []
    given = {canonical(str(name)): value for name, value in kwargs.items()}
    found = [_half_of_tools(given), *(rule(given, each, version) for each in profiles for rule in _RULES)]
    return [warning for warning in found if warning]


def _half_of_tools(given: Settings) -> str:
    parser, auto = given.get("tool_call_parser"), given.get("enable_auto_tool_choice")
    if parser and parser not in ALWAYS_CALLS and not auto:
        return (
            f"The engine has tool_call_parser {parser}, and uses it only with enable_auto_tool_choice: set that to "
            "true, or requests that leave the choice of tools to the model are refused."
        )
    if auto and not parser:
        return "The engine has enable_auto_tool_choice and no tool_call_parser: set one, or vLLM does not start."
    return ""


def _tools(given: Settings, profile: Settings, _version: str) -> str:
    asks = any("parallel_tool_calls" in _object(profile[name]) for name in ("extra_body", "sampling_overrides"))
    if not asks or given.get("tool_call_parser") or given.get("enable_auto_tool_choice"):
        return ""
    return (
        f"Profile {profile['name']} sets parallel_tool_calls, and the engine calls no tools: set "
        "enable_auto_tool_choice and tool_call_parser on the engine, or take it out of the profile."
    )


def _reasoning(given: Settings, profile: Settings, _version: str) -> str:
    parser = given.get("reasoning_parser")
    if not parser or profile["uses_reasoning_parser"]:
        return ""
    return (
        f"Profile {profile['name']} passes text through as it is, and the engine's reasoning_parser {parser} takes "
        "the thoughts out of it: switch 'uses reasoning parser' on in the profile, or remove reasoning_parser from "
        "the engine."
    )


def _not_thinking(given: Settings, profile: Settings, _version: str) -> str:
    parser = given.get("reasoning_parser")
    template = _object(_object(profile["extra_body"]).get("chat_template_kwargs"))
    thinks = {**template, **_object(profile["chat_template_kwargs"])}.get("enable_thinking")
    if parser not in TAKES_ALL or thinks is not False:
        return ""
    return (
        f"Profile {profile['name']} sets enable_thinking to false, and the engine's reasoning_parser {parser} takes "
        "an answer without thoughts for a thought: change reasoning_parser to the model's own (qwen3, nemotron_v3), "
        "or remove enable_thinking from the profile."
    )


def _ids_of_log_probs(given: Settings, profile: Settings, _version: str) -> str:
    if not profile["return_token_id_information"] or given.get("max_logprobs") not in {0, "0"}:
        return ""
    return (
        f"Profile {profile['name']} returns token ids with their log-probs, and the engine's max_logprobs is 0: "
        "remove max_logprobs from the engine, or switch 'return token ids' off in the profile."
    )


def _ids_in_answers(_given: Settings, profile: Settings, version: str) -> str:
    if not profile["request_prompt_and_generation_token_ids"] or not _older(version, IDS_SINCE):
        return ""
    return (
        f"Profile {profile['name']} asks the engine for token ids, which vLLM {version} does not give (0.10.2 does): "
        "switch 'ask the engine for token ids' off in the profile, or give the engine an interpreter with a newer vLLM."
    )


_RULES: Sequence[Callable[[Settings, Settings, str], str]] = (
    _reasoning,
    _not_thinking,
    _tools,
    _ids_of_log_probs,
    _ids_in_answers,
)


def _object(value: Any) -> Settings:
    return value if isinstance(value, dict) else {}


def _older(version: str, than: tuple[int, ...]) -> bool:
    """Return whether a version is known and older; one that is no release's is taken for new."""
    parts = version.split(".")[: len(than)]
    return len(parts) == len(than) and all(map(str.isdecimal, parts)) and tuple(map(int, parts)) < than
