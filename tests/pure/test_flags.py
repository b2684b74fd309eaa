"""Arguments that vLLM would refuse are refused before a launch, with the nearest name or the expected type."""

from typing import Any

import pytest

from launcher import flags

SAID: dict[str, Any] = {
    "version": "0.32.0",
    "flags": {
        "max-model-len": {"kind": "value", "type": "human int", "choices": []},
        "max-num-seqs": {"kind": "value", "type": "int", "choices": []},
        "gpu-memory-utilization": {"kind": "value", "type": "float", "choices": []},
        "enforce-eager": {"kind": "toggle", "type": "", "choices": []},
        "no-enforce-eager": {"kind": "toggle", "type": "", "choices": []},
        "disable-log-stats": {"kind": "switch", "type": "", "choices": []},
        "compilation-config": {"kind": "value", "type": "json", "choices": []},
        "served-model-name": {"kind": "list", "type": "text", "choices": []},
        "cuda-graph-sizes": {"kind": "list", "type": "int", "choices": []},
        "load-format": {"kind": "value", "type": "", "choices": ["auto", "dummy"]},
        "tool-call-parser": {"kind": "value", "type": "text", "choices": []},
        "seed": {"kind": "value", "type": "int", "choices": []},
    },
    "parsers": {"tool_call_parser": ["hermes", "qwen3_coder"]},
}
FLAGS = flags.read(SAID)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"max_model_len": 16384},
        {"max_model_len": "16k"},
        {"max-model-len": "auto"},
        {"max_num_seqs": "8"},
        {"seed": -1},
        {"gpu_memory_utilization": 0.9},
        {"gpu_memory_utilization": 1},
        {"enforce_eager": True},
        {"enforce_eager": False},
        {"compilation_config": {"level": 3}},
        {"compilation_config": '{"level": 3}'},
        {"compilation_config.level": 3},
        {"served_model_name": "one"},
        {"served_model_name": ["one", "two"]},
        {"cuda_graph_sizes": [1, 2]},
        {"load_format": "dummy"},
        {"tool_call_parser": "hermes"},
        {"nothing_of_this_name": None},
    ],
)
def test_what_vllm_takes(kwargs: dict[str, Any]) -> None:
    assert flags.problems(kwargs, FLAGS) == []


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"max_modle_len": 1}, "max_modle_len is no argument of vLLM 0.32.0; did you mean max_model_len?"),
        ({"xyz": 1}, "xyz is no argument of vLLM 0.32.0."),
        ({"max_model_len": "big"}, 'max_model_len is "big": vLLM expects a whole number, or one such as "16k".'),
        ({"max_num_seqs": 1.5}, "max_num_seqs is 1.5: vLLM expects a whole number."),
        ({"max_num_seqs": True}, "max_num_seqs is true: vLLM expects a whole number."),
        ({"gpu_memory_utilization": "most"}, 'gpu_memory_utilization is "most": vLLM expects a number.'),
        ({"enforce_eager": "yes"}, 'enforce_eager is "yes": write true or false.'),
        ({"disable_log_stats": 1}, "disable_log_stats is 1: write true or false."),
        ({"compilation_config": "fast"}, 'compilation_config is "fast": vLLM expects a JSON object or list.'),
        ({"seed.value": 1}, "seed.value: seed is no JSON object, so it has no key of its own."),
        ({"cuda_graph_sizes": [1, "x"]}, 'cuda_graph_sizes is "x": vLLM expects a whole number.'),
        ({"max_num_seqs": [1]}, "max_num_seqs is [1]: vLLM expects a whole number."),
        ({"load_format": "Dummy"}, 'load_format is "Dummy": vLLM takes auto, dummy.'),
        (
            {"tool_call_parser": "hermess"},
            'tool_call_parser is "hermess", which vLLM 0.32.0 does not have; did you mean hermes?',
        ),
    ],
)
def test_what_vllm_would_refuse(kwargs: dict[str, Any], said: str) -> None:
    assert flags.problems(kwargs, FLAGS) == [said]


def test_an_interpreter_may_take_whatever_it_is_given() -> None:
    assert flags.problems({"anything": "goes"}, flags.read({"version": "0", "flags": None})) == []


@pytest.mark.parametrize("said", [{}, {"version": "1"}, {"version": "1", "flags": {"a": {}}}])
def test_what_is_no_such_answer_is_no_flags(said: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        flags.read(said)
