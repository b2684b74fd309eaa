"""The stand-in for an engine on GPUs: it takes from Ray what vLLM takes, by vLLM's own rules, and then serves.

The rules are vLLM's function that makes the placement groups of the data-parallel ranks, taken out of its source:
importing it would need seven seconds and a GPU. What it got is written to the log, one line a rank.
"""

import __future__

import ast
import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.fakes import engine_python

TAKEN = (
    "_make_control_bundle",
    "_get_bundle_node_ip",
    "_dp_nodes_master_first",
    "_node_ip_from_resources",
    "create_dp_placement_groups",
)
GROUP_SECONDS = 30


def executable(folder: Path) -> str:
    """Return the path of a program that stands where an engine's interpreter stands."""
    path = folder / "python-on-ray"
    root = Path(__file__).resolve().parents[2]
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.fakes import engine_on_ray\nengine_on_ray.main()\n"
    )
    path.chmod(0o755)
    return str(path)


def vllms_own() -> Any:
    """Return vLLM's `create_dp_placement_groups`."""
    found = importlib.util.find_spec("vllm")
    assert found is not None
    assert found.origin is not None
    source = (Path(found.origin).parent / "v1/engine/utils.py").read_text()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    chosen = [node for node in functions if node.name in TAKEN]
    for function in chosen:
        function.decorator_list.clear()
    code = compile(
        ast.Module([*chosen], []), "vllm/v1/engine/utils.py", "exec", flags=__future__.annotations.compiler_flag
    )
    names: dict[str, Any] = {
        "logger": SimpleNamespace(info=lambda *_: None),
        "current_platform": SimpleNamespace(ray_device_key="GPU"),
        "envs": SimpleNamespace(
            VLLM_RAY_DP_PACK_STRATEGY=os.environ["VLLM_RAY_DP_PACK_STRATEGY"],
            VLLM_RAY_DP_PLACEMENT_NODE_IPS=os.environ["VLLM_RAY_DP_PLACEMENT_NODE_IPS"],
        ),
    }
    exec(code, names)
    return names["create_dp_placement_groups"]


def take_gpus(given: dict[str, list[str]]) -> None:
    """Hold what the ranks need, for as long as the process lives."""
    import ray

    def number(name: str, default: int = 1) -> int:
        return int(given.get(name, [str(default)])[0])

    ranks = number("--data-parallel-size")
    # As in vLLM's configuration: one rank has its master's address from the environment, several from the argument.
    master = given["--data-parallel-address"][0] if ranks > 1 else os.environ["VLLM_DP_MASTER_IP"]
    span = os.environ["VLLM_RAY_DP_PACK_STRATEGY"] == "span"
    parallel = SimpleNamespace(
        data_parallel_master_ip=master,
        data_parallel_size=ranks,
        data_parallel_size_local=number("--data-parallel-size-local", 1 if span else ranks),
        world_size=number("--tensor-parallel-size") * number("--pipeline-parallel-size"),
        all2all_backend="",
    )
    # All nodes are this machine, so Ray has to be told on which one this process is.
    ray.init(_node_ip_address=master, log_to_driver=False, logging_level="ERROR")
    groups, _ = vllms_own()(SimpleNamespace(parallel_config=parallel))
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
    for rank, group in enumerate(groups):
        assert group.wait(GROUP_SECONDS), "The GPUs are not there."
        bundles = ray.util.placement_group_table(group)["bundles_to_node_id"]
        where = Counter(addresses[bundles[index]] for index in range(parallel.world_size))
        sys.stdout.write(
            f"rank {rank}: " + ", ".join(f"{gpus} GPUs on {node}" for node, gpus in sorted(where.items())) + "\n"
        )


def main() -> None:
    """Take the GPUs, then be the other stand-in."""
    if sys.argv[1:2] != ["-c"]:
        take_gpus(engine_python.options(sys.argv[1:]))
    engine_python.main()
