"""Begins an attempt: finds room, writes down what it takes. Only then is anything submitted."""

import secrets
from urllib.parse import urlsplit

from launcher import command, placement, places, plan, processes, queries, transitions
from launcher.cluster import Cluster, Node
from launcher.models import Engine
from launcher.placement import Placement

LOOPBACK = "127.0.0.1"


def claim(engine: Engine, cluster: Cluster, nodes: list[Node]) -> str:
    """Claim a generation with its nodes, GPUs, port and key; return why there is no room for it, "" if there is.

    If another process wrote first, nothing is claimed and "" is returned: to be tried again.

    Raises:
        OSError: if the node has no free port.
    """
    beside = queries.claims()
    found = _place(engine, nodes, beside)
    if isinstance(found, str):
        return found
    host = LOOPBACK  # of a local cluster, whose only node this machine is
    if not cluster.local:
        host = found.master if found else next((node.address for node in nodes if node.is_head), LOOPBACK)
    port = processes.free_port(host, [urlsplit(each.base_url).port or 0 for each in beside])
    netloc = f"[{host}]" if ":" in host else host
    claimed = transitions.claim(
        engine,
        base_url=f"http://{netloc}:{port}/v1",
        api_key=secrets.token_hex(24),
        placement=found.to_json() if found else {},
        ray_host=places.host_id() if cluster.local else "",
        beside=beside,
    )
    if claimed and engine.generation == 1:
        places.of_this_host().forget_logs(engine.name)  # of one that had its name, and was deleted on another host
    return ""


def _place(engine: Engine, nodes: list[Node], beside: list[queries.Claim]) -> Placement | str | None:
    """Return where it goes, or why it does not fit; None for an engine that takes no GPUs."""
    if not plan.uses_gpus(engine.device, nodes):
        return None
    needed = command.topology(engine.vllm_serve_kwargs, engine.vllm_serve_env_vars)
    promised = {each.submission_id: each.gpus for each in beside}
    return placement.place(needed, placement.rooms(nodes, promised))
