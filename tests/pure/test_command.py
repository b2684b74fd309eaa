from dataclasses import replace
from typing import Any

import pytest

from launcher import command, placement
from launcher.models import default_serve_env_vars, default_serve_kwargs
from launcher.placement import Placement

SIZES: dict[str, Any] = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}
VARIABLES = {"VLLM_RAY_DP_PACK_STRATEGY": "strict"}

TWO_NODES = Placement((("10.0.0.2",), ("10.0.0.1",)), size=8, local=1)

LAUNCH = command.Launch(
    interpreter="/venv/bin/python",
    model="Qwen/Qwen3-8B",
    served_names=["qwen", "judge"],
    host="127.0.0.1",
    port=20123,
    api_key="a-secret-key",
    hf_token="",
    hf_home="/data/models",
    temp_dir="/tmp/rh-0/engine-1-1",
    placement=None,
    debug=False,
    show_stats=False,
    kwargs=SIZES,
    env_vars=VARIABLES,
)


def argv(**changes: Any) -> list[str]:
    return list(command.build(replace(LAUNCH, **changes)).argv)


def env(**changes: Any) -> dict[str, str]:
    return dict(command.build(replace(LAUNCH, **changes)).env)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_model_len": 2048}, ["--max-model-len=2048"]),
        ({"max-model-len": 2048}, ["--max-model-len=2048"]),
        ({"gpu_memory_utilization": 0.9}, ["--gpu-memory-utilization=0.9"]),
        ({"enforce_eager": True}, ["--enforce-eager"]),
        ({"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"disable_log_stats": False}, []),
        ({"quantization": None}, []),
        ({"chat_template": "-odd.jinja"}, ["--chat-template=-odd.jinja"]),
        ({"model_loader_extra_config": {"num_threads": 16}}, ['--model-loader-extra-config={"num_threads": 16}']),
        ({"compilation_config.mode": 3}, ["--compilation-config.mode=3"]),
        ({"lora_modules": ["a=/a", "b=/b"]}, ["--lora-modules", "a=/a", "b=/b"]),
        ({"lora_modules": []}, []),
        ({"middleware": ["x", "y"]}, ["--middleware=x", "--middleware=y"]),
        ({"allowed_origins": ["*"]}, ['--allowed-origins=["*"]']),
    ],
)
def test_each_kind_of_value_becomes_what_vllm_reads(given: dict[str, Any], expected: list[str]) -> None:
    plain = argv()
    with_it = argv(kwargs=SIZES | given)
    position = plain.index("--pipeline-parallel-size=1") + 1
    assert with_it == [*plain[:position], *expected, *plain[position:]]


def test_the_command_on_a_cpu() -> None:
    assert argv() == [
        "/venv/bin/python",
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--data-parallel-size=1",
        "--tensor-parallel-size=1",
        "--pipeline-parallel-size=1",
        "--disable-uvicorn-access-log",
        "--model=Qwen/Qwen3-8B",
        "--served-model-name",
        "qwen",
        "judge",
        "--host=127.0.0.1",
        "--port=20123",
        "--download-dir=/data/models/hub",
        "--distributed-executor-backend=mp",
    ]


def test_the_backends_on_a_gpu() -> None:
    assert argv(placement=TWO_NODES)[-4:] == [
        "--distributed-executor-backend=ray",
        "--data-parallel-backend=ray",
        "--data-parallel-address=10.0.0.2",
        "--data-parallel-size-local=1",
    ]
    assert argv(placement=replace(TWO_NODES, local=None))[-1] == "--data-parallel-address=10.0.0.2"


def test_vllm_is_told_which_nodes_it_has() -> None:
    told = env(placement=TWO_NODES)
    assert told["VLLM_DP_MASTER_IP"] == "10.0.0.2"
    assert told["VLLM_RAY_DP_PLACEMENT_NODE_IPS"] == "10.0.0.2,10.0.0.1"
    assert "VLLM_DP_MASTER_IP" not in env()


def test_the_environment_on_a_cpu() -> None:
    assert env() == {
        "HF_HOME": "/data/models",
        "TMPDIR": "/tmp/rh-0/engine-1-1",
        "VLLM_API_KEY": "a-secret-key",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOG_STATS_INTERVAL": "1000000000",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_RAY_DP_PACK_STRATEGY": "strict",
    }


def test_the_key_is_never_in_the_command_line() -> None:
    assert not [word for word in argv(debug=True, show_stats=True, placement=TWO_NODES) if "a-secret-key" in word]


def test_the_operator_may_change_what_is_only_a_default() -> None:
    changed = env(env_vars=VARIABLES | {"VLLM_CPU_KVCACHE_SPACE": "4", "VLLM_NO_USAGE_STATS": "0"})
    assert (changed["VLLM_CPU_KVCACHE_SPACE"], changed["VLLM_NO_USAGE_STATS"]) == ("4", "0")
    assert "--no-disable-uvicorn-access-log" in argv(kwargs=SIZES | {"disable_uvicorn_access_log": False})


def test_debug_logs_more_and_statistics_are_logged_on_request() -> None:
    assert env(debug=True)["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert "--disable-uvicorn-access-log" not in argv(debug=True)
    assert "VLLM_LOG_STATS_INTERVAL" not in env(show_stats=True)


def test_a_gpu_engine_has_no_cpu_settings_and_a_remote_one_no_folder_of_ours() -> None:
    assert "VLLM_CPU_KVCACHE_SPACE" not in env(placement=TWO_NODES)
    assert "TMPDIR" not in env(temp_dir="")


@pytest.mark.parametrize(
    ("kwargs", "profiles", "expected"),
    [
        ({}, [], ["org/model"]),
        ({}, ["b", "a", "b"], ["a", "b"]),
        ({"served_model_name": "mine"}, ["a"], ["mine"]),
        ({"served-model-name": ["mine", "yours"]}, ["a"], ["mine", "yours"]),
        ({"served_model_name": None}, ["a"], ["a"]),
    ],
)
def test_the_names_that_an_engine_answers_to(kwargs: dict[str, Any], profiles: list[str], expected: list[str]) -> None:
    assert command.served_names(kwargs, profiles, "org/model") == expected


def test_names_set_by_hand_are_given_once() -> None:
    line = argv(kwargs=SIZES | {"served_model_name": "mine"}, served_names=["mine"])
    assert line.count("--served-model-name") == 1


def test_a_new_engine_may_be_launched() -> None:
    assert command.check_config(default_serve_kwargs(), default_serve_env_vars()) == []


@pytest.mark.parametrize("name", command.PARALLEL_SIZES)
@pytest.mark.parametrize("value", [None, 0, -1, True, "2", 1.5, [1]])
def test_every_parallel_size_must_be_a_positive_whole_number(name: str, value: object) -> None:
    (problem,) = command.check_config(SIZES | {name: value}, VARIABLES)
    assert problem.field == "vllm_serve_kwargs"
    assert name in problem.message
    assert "whole number of 1 or more" in problem.message


@pytest.mark.parametrize("name", command.PARALLEL_SIZES)
def test_a_missing_parallel_size_is_named(name: str) -> None:
    (problem,) = command.check_config({key: 1 for key in SIZES if key != name}, VARIABLES)
    assert problem.message.startswith(f"{name} is missing")


@pytest.mark.parametrize("name", sorted(command.REFUSED_KWARGS))
@pytest.mark.parametrize("dashes", [False, True])
def test_an_injected_argument_is_refused_in_both_spellings(name: str, dashes: bool) -> None:
    spelt = name.replace("_", "-") if dashes else name
    (problem,) = command.check_config(SIZES | {spelt: "x"}, VARIABLES)
    assert problem.message == f"{spelt} cannot be set: {command.REFUSED_KWARGS[name]}."


@pytest.mark.parametrize("name", sorted(command.REFUSED_ENV_VARS))
def test_an_injected_variable_is_refused(name: str) -> None:
    (problem,) = command.check_config(SIZES, VARIABLES | {name: "x"})
    assert problem.field == "vllm_serve_env_vars"
    assert problem.message == f"{name} cannot be set: {command.REFUSED_ENV_VARS[name]}."


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"--max-model-len": 1}, "without dashes in front"),
        ({"": 1}, "not an argument's name"),
        ({"a b": 1}, "not an argument's name"),
        ({"max_model_len": 1, "max-model-len": 2}, "are the same argument"),
        ({"seed": float("nan")}, "seed must be"),
        ({"seed": object()}, "seed must be"),
        ({"chat_template": "a\0b"}, "without NUL"),
        ({"port\n": 1}, "is not an argument's name"),
        ({"Port": 1}, "Port cannot be set"),
        ({"port.x": 1}, "port.x cannot be set"),
    ],
)
def test_arguments_that_cannot_be_passed_on_are_named(kwargs: dict[str, Any], words: str) -> None:
    (problem,) = command.check_config(SIZES | kwargs, VARIABLES)
    assert words in problem.message


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"1X": "a"}, "'1X' is not a variable's name"),
        ({"A-B": "a"}, "is not a variable's name"),
        ({"HF_TOKEN": "hf_x"}, "set the engine's hf_token field"),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "its name says secret"),
        ({"MY_TOKEN": "x"}, "its name says secret"),
        ({"VLLM_API_KEY\n": "a"}, "is not a variable's name"),
        ({"X": 1}, 'write "1" in quotes'),
        ({"X": "a\0"}, "NUL"),
        ({"X": "/a:$PATH"}, "X holds $PATH, which Ray would replace"),
        ({"X": "${HOME}/a"}, "X holds ${HOME}, which Ray would replace"),
        ({"VLLM_RAY_DP_PACK_STRATEGY": "loose"}, "one of strict, fill, span"),
    ],
)
def test_variables_that_cannot_be_passed_on_are_named(variables: dict[str, Any], words: str) -> None:
    (problem,) = command.check_config(SIZES, VARIABLES | variables)
    assert words in problem.message


@pytest.mark.parametrize("strategy", placement.PACK_STRATEGIES)
def test_every_pack_strategy_of_vllm_is_taken(strategy: str) -> None:
    assert command.check_config(SIZES, {"VLLM_RAY_DP_PACK_STRATEGY": strategy}) == []


def test_a_missing_pack_strategy_is_named() -> None:
    (problem,) = command.check_config(SIZES, {})
    assert problem.message == "VLLM_RAY_DP_PACK_STRATEGY is missing: set it to one of strict, fill, span."


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_what_is_no_object_is_refused(value: object) -> None:
    fields = [problem.field for problem in command.check_config(value, value)]
    assert fields == ["vllm_serve_kwargs", "vllm_serve_env_vars"]


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "VLLM_TOKENIZER_MODE", "KEYBOARD", "NCCL_IB_PKEY"])
def test_a_variable_that_only_sounds_like_a_secret_may_be_set(name: str) -> None:
    assert command.check_config(SIZES, VARIABLES | {name: "1"}) == []


def test_a_token_goes_by_environment() -> None:
    assert env(hf_token="hf_secret")["HF_TOKEN"] == "hf_secret"
    assert not [word for word in argv(hf_token="hf_secret") if "hf_secret" in word]
    assert "HF_TOKEN" not in env()
