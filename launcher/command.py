"""From an engine's settings to the command line and environment of its vLLM. Pure.

`check_config` says what is wrong with the settings; `build` trusts them. Arguments of vLLM are written with underscores
(`max_model_len`) or dashes; both spellings mean the same argument, here as in vLLM.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.placement import PACK_STRATEGIES, PACK_STRATEGY, Placement, Topology

KWARGS = "vllm_serve_kwargs"
ENV_VARS = "vllm_serve_env_vars"

RANKS = "data_parallel_size"
PARALLEL_SIZES = (RANKS, "tensor_parallel_size", "pipeline_parallel_size")
RANK_SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size")  # what one rank takes

MARK_VARIABLE = "ROUNDHOUSE_ENGINE"

# Arguments that Roundhouse sets itself, or that would take the engine out of its hands, with what to do instead.
REFUSED_KWARGS: Mapping[str, str] = {
    "model": "set the engine's model field",
    "model_tag": "set the engine's model field",
    "host": "Roundhouse chooses the address",
    "port": "Roundhouse chooses a free port",
    "uds": "Roundhouse reaches the engine by address and port",
    "download_dir": "set the engine's hf_home field; weights go to its hub folder",
    "distributed_executor_backend": "Roundhouse chooses it for the device",
    "data_parallel_backend": "Roundhouse chooses it for the device",
    "data_parallel_size_local": "Roundhouse works it out from the GPUs that are free",
    "data_parallel_address": "Roundhouse chooses the nodes",
    "data_parallel_rank": "Roundhouse runs every rank of an engine",
    "data_parallel_start_rank": "Roundhouse runs every rank of an engine",
    "nnodes": "Roundhouse chooses the nodes, by the parallel sizes",
    "node_rank": "Roundhouse chooses the nodes, by the parallel sizes",
    "master_addr": "Roundhouse chooses the nodes, by the parallel sizes",
    "api_key": "every engine gets a random key of its own",
    "hf_token": "set the engine's hf_token field: it is stored encrypted and goes by environment",
    "ssl_keyfile": "Roundhouse speaks plain HTTP to its engines",
    "ssl_certfile": "Roundhouse speaks plain HTTP to its engines",
    "config": "write the file's arguments here",
    "headless": "an engine without a server cannot be reached",
    "grpc": "Roundhouse speaks HTTP to its engines",
}
REFUSED_ENV_VARS: Mapping[str, str] = {
    "VLLM_API_KEY": "every engine gets a random key of its own",
    "HF_TOKEN": "set the engine's hf_token field: it is stored encrypted",
    "HUGGING_FACE_HUB_TOKEN": "set the engine's hf_token field: it is stored encrypted",
    "HF_HOME": "set the engine's hf_home field",
    "TMPDIR": "Roundhouse gives the engine a folder of its own, and removes it",
    "VLLM_DP_MASTER_IP": "Roundhouse chooses the nodes",
    "VLLM_RAY_DP_PLACEMENT_NODE_IPS": "Roundhouse chooses the nodes",
    "RAY_ADDRESS": "the engine belongs to the cluster that runs it",
    MARK_VARIABLE: "Roundhouse knows its processes by it",
}

# What to do with a variable that is a secret by its name.
PLAIN = "its name says secret, and variables are stored in plain. Start Ray with it: Ray's processes inherit it"

# vLLM 0.32, engine/arg_utils.py and entrypoints/launchers/cli_args.py: switches that have no `--no-` form, lists that
# are one JSON text, and an argument that is given once for each value.
SWITCHES = frozenset(
    {
        "aggregate_engine_logging",
        "data_parallel_multi_port_external_lb",
        "disable_log_stats",
    }
)
JSON_LISTS = frozenset({"allowed_headers", "allowed_methods", "allowed_origins"})
REPEATED = frozenset({"middleware"})

# asyncio sleeps that long between two lines of statistics, which is never; 0 would mean the default of ten seconds.
NO_STATS_SECONDS = "1000000000"

_ARGUMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|KEY|PASSWORD|PASSWD)$|SECRET", re.IGNORECASE)
_EXPANDED = re.compile(r"\$(?:\w+|\{[^}]*\})")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field of an engine; the message names the argument and the fix."""

    field: str
    message: str


@dataclass(frozen=True)
class Command:
    """What to run, and what to add to its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Launch:
    """Everything that a command is made of.

    `temp_dir` may be empty: the system's own is used then. `placement` is None on CPU.
    """

    interpreter: str
    model: str
    served_names: Sequence[str]
    host: str
    port: int
    api_key: str
    hf_token: str
    hf_home: str
    temp_dir: str
    placement: Placement | None
    debug: bool
    show_stats: bool
    kwargs: Mapping[str, Any]
    env_vars: Mapping[str, str]


def check_config(vllm_serve_kwargs: object, vllm_serve_env_vars: object) -> list[Problem]:
    """Return what is wrong with an engine's arguments and variables; empty if it may be launched."""
    return [
        *(Problem(KWARGS, message) for message in _kwargs_problems(vllm_serve_kwargs)),
        *(Problem(ENV_VARS, message) for message in _env_problems(vllm_serve_env_vars)),
    ]


def canonical(name: str) -> str:
    """Return an argument's name in its one form, with underscores. What follows a dot is a key inside a JSON value."""
    head, dot, rest = name.partition(".")
    return head.replace("-", "_").lower() + dot + rest


def served_names(kwargs: Mapping[str, Any], profile_models: Sequence[str], model: str) -> list[str]:
    """Return the names that the engine answers to: those set by hand, else those of its profiles, else the model's."""
    for name, value in kwargs.items():
        if canonical(name) == "served_model_name" and value:
            return [str(each) for each in value] if isinstance(value, list) else [str(value)]
    return sorted(set(profile_models)) or [model]


def topology(kwargs: Mapping[str, Any], env_vars: Mapping[str, str]) -> Topology:
    """Return what an engine of these arguments and variables, which were checked, needs on GPUs."""
    given = {canonical(name): value for name, value in kwargs.items()}
    size = 1
    for name in RANK_SIZES:
        size *= int(given.get(name) or 1)
    return Topology(int(given[RANKS]), size, env_vars[PACK_STRATEGY])


def build(launch: Launch) -> Command:
    """Return the command and environment of an engine. Secrets go into the environment: everyone can read an argv."""
    argv = [launch.interpreter, "-m", "vllm.entrypoints.openai.api_server"]
    given = {canonical(name): value for name, value in launch.kwargs.items()}
    given.pop("served_model_name", None)
    if not launch.debug:
        given.setdefault("disable_uvicorn_access_log", True)  # else the last log lines of a crash are health checks
    for name, value in given.items():
        argv += _argument(name, value)
    # Ours come last: the last one wins.
    argv += [f"--model={launch.model}", "--served-model-name", *launch.served_names]
    argv += [f"--host={launch.host}", f"--port={launch.port}", f"--download-dir={launch.hf_home}/hub"]
    if launch.placement:
        argv += ["--distributed-executor-backend=ray", "--data-parallel-backend=ray"]
        argv += [f"--data-parallel-address={launch.placement.master}"]
        if launch.placement.local is not None:
            argv += [f"--data-parallel-size-local={launch.placement.local}"]
    else:
        argv += ["--distributed-executor-backend=mp"]  # vLLM refuses Ray on CPU
    return Command(tuple(argv), _environment(launch))


def _environment(launch: Launch) -> dict[str, str]:
    env = {"VLLM_NO_USAGE_STATS": "1"}
    if launch.placement is None:
        env["VLLM_CPU_KVCACHE_SPACE"] = "1"  # GiB; vLLM's own default takes half of the machine's memory
        # What its processes bind for each other goes no wider than the API. With Ray it must be Ray's node address.
        env["VLLM_HOST_IP"] = launch.host
    if launch.debug:
        env["VLLM_LOGGING_LEVEL"] = "DEBUG"
    if not launch.show_stats:
        # Not --disable-log-stats: that would take the engine's numbers away from /metrics as well.
        env["VLLM_LOG_STATS_INTERVAL"] = NO_STATS_SECONDS
    env |= launch.env_vars
    env |= {"VLLM_API_KEY": launch.api_key, "HF_HOME": launch.hf_home}
    if launch.hf_token:
        env["HF_TOKEN"] = launch.hf_token
    if launch.placement:
        # With one rank vLLM takes the master's address from here alone, with several from its argument alone.
        env["VLLM_DP_MASTER_IP"] = launch.placement.master
        env["VLLM_RAY_DP_PLACEMENT_NODE_IPS"] = ",".join(launch.placement.nodes)
    if launch.temp_dir:
        env["TMPDIR"] = launch.temp_dir  # vLLM's sockets lie there
    return env


def _argument(name: str, value: Any) -> list[str]:
    flag = "--" + name.partition(".")[0].replace("_", "-") + "".join(name.partition(".")[1:])
    if value is None:
        return []
    if value is True:
        return [flag]
    if value is False:
        return [] if name in SWITCHES else ["--no-" + flag.removeprefix("--")]
    if isinstance(value, list) and name not in JSON_LISTS:
        if name in REPEATED:
            return [f"{flag}={_text(each)}" for each in value]
        return [flag, *(_text(each) for each in value)] if value else []
    return [f"{flag}={_text(value)}"]  # with =, so that a value may begin with a dash


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kwargs_problems(kwargs: object) -> list[str]:
    if not isinstance(kwargs, dict):
        return ['Give a JSON object, for example {"max_model_len": 16384}.']
    found: list[str] = []
    seen: dict[str, str] = {}
    for name, value in kwargs.items():
        if not isinstance(name, str) or not _ARGUMENT.fullmatch(name):
            found.append(f"{name!r} is not an argument's name: write it without dashes in front, as in max_model_len.")
            continue
        key = canonical(name)
        if key in seen:
            found.append(f"{name} and {seen[key]} are the same argument: keep one.")
        seen[key] = name
        if fix := REFUSED_KWARGS.get(key.partition(".")[0]):
            found.append(f"{name} cannot be set: {fix}.")
        elif not _is_json(value):
            found.append(f"{name} must be text (without NUL), a number, true, false, null, a list or an object.")
    given = {canonical(name): value for name, value in kwargs.items() if isinstance(name, str)}
    for name in PARALLEL_SIZES:
        value = given.get(name)
        if value is None:
            found.append(f"{name} is missing: set it to a whole number of 1 or more.")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            found.append(f"{name} is {json.dumps(value, default=str)}: set it to a whole number of 1 or more.")
    return found


def _env_problems(env_vars: object) -> list[str]:
    if not isinstance(env_vars, dict):
        return ['Give a JSON object of texts, for example {"VLLM_RAY_DP_PACK_STRATEGY": "strict"}.']
    found: list[str] = []
    for name, value in env_vars.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            found.append(f"{name!r} is not a variable's name: use letters, digits and _, not beginning with a digit.")
        elif fix := REFUSED_ENV_VARS.get(name) or (PLAIN if _SECRET.search(name) else ""):
            found.append(f"{name} cannot be set: {fix}.")
        elif not isinstance(value, str):
            found.append(f'{name} must be text: write "{json.dumps(value, default=str)}" in quotes.')
        elif "\0" in value:
            found.append(f"{name} holds a NUL character, which no environment can carry: remove it.")
        elif _EXPANDED.search(value):
            found.append(
                f"{name} holds {_EXPANDED.findall(value)[0]}, which Ray would replace: write the value itself."
            )
    strategy = env_vars.get(PACK_STRATEGY)
    choices = ", ".join(PACK_STRATEGIES)
    if strategy is None:
        found.append(f"{PACK_STRATEGY} is missing: set it to one of {choices}.")
    elif isinstance(strategy, str) and strategy not in PACK_STRATEGIES:
        found.append(f"{PACK_STRATEGY} is {strategy!r}: set it to one of {choices}.")
    return found


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_json(each) for each in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
    if isinstance(value, float):
        return value == value and value not in (float("inf"), float("-inf"))  # noqa: PLR0124  (NaN)
    if isinstance(value, str):
        return "\0" not in value
    return value is None or isinstance(value, int)
