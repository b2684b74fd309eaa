"""Engines and profiles that are ready to be made: models with their parsers, and how many GPUs they take here. Pure.

Sizes are GPUs of 80 GB. A tensor parallel size divides the heads of every model below, up to the largest one (their
config.json: `num_attention_heads`); Qwen3's FP8 weights come in blocks that eight GPUs would cut, so their experts are
spread whole (`enable_expert_parallel`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from launcher.placement import Placement, Room, Topology, place

SIZES = (8, 4, 2, 1)  # of a rank, the largest first
CPU = 0

ON_GPU: Mapping[str, Any] = {
    "gpu_memory_utilization": 0.9,
    "model_loader_extra_config": {"enable_multithread_load": True, "num_threads": 16},
}
ON_CPU: Mapping[str, Any] = {"max_model_len": 8192, "dtype": "bfloat16"}


@dataclass(frozen=True)
class Preset:
    """A model, the fewest GPUs that hold it, its arguments and the settings of its profile, by column."""

    name: str
    model: str
    least: int
    kwargs: Mapping[str, Any]
    profile: Mapping[str, Any] = field(default_factory=dict)
    runs_on_cpu: bool = False


def _tools(parser: str, **more: Any) -> dict[str, Any]:
    return {"enable_auto_tool_choice": True, "tool_call_parser": parser, **more}


def _gpt_oss(size: str, least: int, effort: str) -> Preset:
    """Return the model at that effort. vLLM picks its reasoning parser itself; both of its APIs are told the effort."""
    profile = {
        "is_responses_native": True,
        "extra_body": {"reasoning": {"effort": effort}, "reasoning_effort": effort},
    }
    return Preset(f"gpt-oss-{size}-{effort}", f"openai/gpt-oss-{size}", least, _tools("openai"), profile)


def _qwen35(size: str, least: int) -> Preset:
    kwargs = _tools("qwen3_coder", reasoning_parser="qwen3")
    return Preset(f"qwen3-5-{size.lower()}", f"Qwen/Qwen3.5-{size}", least, kwargs)


_ALL = (
    Preset("qwen3-4b-instruct", "Qwen/Qwen3-4B-Instruct-2507", 1, _tools("hermes"), runs_on_cpu=True),
    Preset(
        "qwen3-4b-completions",
        "Qwen/Qwen3-4B-Base",
        1,
        {},
        {"use_completions_api": True, "uses_reasoning_parser": False},
        runs_on_cpu=True,
    ),
    Preset("qwen3-30b-a3b-instruct", "Qwen/Qwen3-30B-A3B-Instruct-2507", 1, _tools("hermes")),
    Preset(
        "qwen3-30b-a3b-thinking",
        "Qwen/Qwen3-30B-A3B-Thinking-2507",
        1,
        _tools("hermes", reasoning_parser="deepseek_r1"),
    ),
    Preset(
        "qwen3-235b-a22b-instruct-fp8",
        "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
        4,
        _tools("hermes", enable_expert_parallel=True),
    ),
    _qwen35("27B", 1),
    _qwen35("35B-A3B", 2),
    _qwen35("122B-A10B", 4),
    Preset(
        "nemotron-3-nano",
        "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
        1,
        _tools("qwen3_coder", reasoning_parser="nemotron_v3", trust_remote_code=True),
    ),
    *(_gpt_oss("20b", 1, effort) for effort in ("low", "medium", "high")),
    *(_gpt_oss("120b", 1, effort) for effort in ("low", "medium", "high")),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}


def gpus(preset: Preset, there: Sequence[Room]) -> int | str:
    """Return how many GPUs of one node the model is to take, CPU for none, or one sentence that says why it cannot.

    As many as are free somewhere, up to eight; where too few are, as many as a node has: the engine waits for them.
    """
    emptied = [replace(room, free=room.total, seen=room.total) for room in there]
    for rooms in (there, emptied):
        for size in SIZES:
            if size >= preset.least and isinstance(place(_alone(size), rooms), Placement):
                return size
    if any(room.total for room in there):
        return str(place(_alone(preset.least), there))
    if preset.runs_on_cpu:
        return CPU
    able = ", ".join(each.name for each in _ALL if each.runs_on_cpu)
    return f"{place(_alone(preset.least), there)} These run on CPU: {able}."


def engine_settings(preset: Preset, size: int) -> dict[str, Any]:
    """Return the columns of an engine that takes so many GPUs, CPU for none."""
    sizes = {"data_parallel_size": 1, "tensor_parallel_size": size or 1, "pipeline_parallel_size": 1}
    kwargs = {**sizes, **(ON_CPU if size == CPU else ON_GPU), **preset.kwargs}
    return {"model": preset.model, "device": "cpu" if size == CPU else "cuda", "vllm_serve_kwargs": kwargs}


def profile_settings(preset: Preset) -> dict[str, Any]:
    """Return the columns of the profile. The engine keeps the model's name, so that other profiles may join it."""
    return {"description": f"{preset.model}, from the preset {preset.name}.", "upstream_model": preset.model} | dict(
        preset.profile
    )


def _alone(size: int) -> Topology:
    return Topology(1, size, "strict")
