"""Presets fit the GPUs that are there, or say in one sentence why not."""

import re

import pytest

from endpoints import profile_rules
from launcher import command, linked_profiles, presets
from launcher.placement import Room
from launcher.presets import PRESETS

SMALL, LARGE = PRESETS["qwen3-30b-a3b-instruct"], PRESETS["qwen3-235b-a22b-instruct-fp8"]
ON_CPU = PRESETS["qwen3-4b-instruct"]


def node(total: int, free: int | None = None, address: str = "a") -> Room:
    """Return a node whose GPUs are all free unless it says how many are."""
    open_ = total if free is None else free
    return Room(address, total, open_, open_)


@pytest.mark.parametrize(
    ("preset", "there", "size"),
    [
        (SMALL, [node(8)], 8),
        (SMALL, [node(16)], 8),
        (SMALL, [node(7)], 4),
        (SMALL, [node(3)], 2),
        (SMALL, [node(1)], 1),
        (SMALL, [node(8, free=3)], 2),
        (SMALL, [node(8, free=0)], 8),
        (SMALL, [node(0), node(2, address="b"), node(4, address="c")], 4),
        (LARGE, [node(8)], 8),
        (LARGE, [node(5)], 4),
        (LARGE, [node(8, free=2)], 8),
        (ON_CPU, [node(2)], 2),
        (ON_CPU, [node(0)], presets.CPU),
        (ON_CPU, [], presets.CPU),
    ],
)
def test_the_largest_power_of_two_that_is_free_and_else_that_is_there(
    preset: presets.Preset, there: list[Room], size: int
) -> None:
    assert presets.gpus(preset, there) == size


@pytest.mark.parametrize(
    ("preset", "there", "said"),
    [
        (LARGE, [node(2)], "It needs 4 GPUs on one node; a has 2 of 2 free (a rank of 4 GPUs fits no node"),
        (LARGE, [node(2), node(3, free=1, address="b")], "a has 2 of 2 free, b has 1 of 3 free"),
        (
            SMALL,
            [node(0)],
            "It needs 1 GPU; the cluster has none. These run on CPU: qwen3-4b-instruct, qwen3-4b-completions.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(preset: presets.Preset, there: list[Room], said: str) -> None:
    assert said in str(presets.gpus(preset, there))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
@pytest.mark.parametrize("size", [0, 1, 8])
def test_every_preset_is_sound(preset: presets.Preset, size: int) -> None:
    defaults = {
        **dict.fromkeys(profile_rules.NAMES, False),
        "uses_reasoning_parser": True,
        "uses_interleaved_reasoning": True,
        "sequential_reasoning_allowed": True,
        "think_start_tag": "<think>",
        "think_end_tag": "</think>",
        "extra_body": {},
        "sampling_overrides": {},
        "chat_template_kwargs": {},
        "name": preset.name,
    }
    profile = defaults | presets.profile_settings(preset)
    kwargs = presets.engine_settings(preset, size)["vllm_serve_kwargs"]
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", preset.name)
    assert preset.least in presets.SIZES
    assert kwargs["tensor_parallel_size"] == (size or 1)
    assert command.check_config(kwargs, {"VLLM_RAY_DP_PACK_STRATEGY": "strict"}) == []
    assert profile_rules.contradictions(profile) == {}
    assert linked_profiles.warnings(kwargs, [profile], "0.32.0") == []


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_both_apis_of_gpt_oss_are_told_the_effort(effort: str) -> None:
    for size in ("20b", "120b"):
        profile = presets.profile_settings(PRESETS[f"gpt-oss-{size}-{effort}"])
        assert profile["is_responses_native"] is True
        assert profile["extra_body"] == {"reasoning": {"effort": effort}, "reasoning_effort": effort}
