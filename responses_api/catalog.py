"""The profiles as callers see them. Pure but for the views that it reads."""

from typing import Any

from responses_api.snapshot import ProfileView

# What Codex is told of a model that it does not know by itself.
CODEX_INSTRUCTIONS = """\
You are Codex, a coding agent that works in the user's workspace through a terminal.

- Look before you act: read the files that matter, and follow the conventions and the instructions that you find there.
- Do what was asked, completely and no more. Keep changes small and in the style of the code around them.
- Edit files with the tools that you have. Never revert or delete work that is not yours unless you are asked to.
- Check what you did: run the tests or the program when that is possible, and say honestly what you could not check.
- Be brief. End with what you changed, where, and anything that the user must know or decide.
"""
# Codex shortens what its tools print to so many tokens, and to a quarter of a small context.
MAX_TOOL_OUTPUT = 10_000
# Of the context, what is left for an answer whose length nobody limits.
ROOM_FOR_ANSWER = 0.1


def card(profile: ProfileView) -> dict[str, Any]:
    """Return a model object as OpenAI writes it, with vLLM's `max_model_len`."""
    return {
        "id": profile.settings.name,
        "object": "model",
        "created": profile.created,
        "owned_by": "roundhouse",
        "max_model_len": profile.max_model_len,
    }


def codex_catalog(profile: ProfileView) -> dict[str, Any]:
    """Return the file that Codex reads as `model_catalog_json`, with this profile's limits. Fields that only older
    versions of Codex know are there too.
    """
    model: dict[str, Any] = {
        "slug": profile.settings.name,
        "display_name": profile.settings.name,
        "description": None,
        "base_instructions": CODEX_INSTRUCTIONS,
        "supported_reasoning_levels": [],
        "supports_reasoning_summaries": True,
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 1,
        "upgrade": None,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": None,  # the other kinds are tools with a grammar, which engines do not keep to
        "supports_parallel_tool_calls": True,
        "supports_search_tool": False,
        "experimental_supported_tools": [],
        "input_modalities": ["text"],
        "truncation_policy": {"mode": "tokens", "limit": MAX_TOOL_OUTPUT},
    }
    if (limit := profile.max_model_len) is not None:
        model["truncation_policy"]["limit"] = min(MAX_TOOL_OUTPUT, limit // 4)
        model["context_window"] = model["max_context_window"] = limit
        model["auto_compact_token_limit"] = limit - _room_for_answer(profile, limit)
    return {"models": [model]}


def _room_for_answer(profile: ProfileView, limit: int) -> int:
    """Return how many tokens of the context the answer needs: what the profile asks the engine for, if it says that."""
    settings = profile.settings
    asked = {**settings.extra_body, **settings.sampling_overrides}.get("max_tokens")
    return asked if type(asked) is int and 0 < asked < limit else int(limit * ROOM_FOR_ANSWER)
