"""Which nodes an engine takes: from its sizes and what is free to the nodes of every rank, or to a refusal. Pure.

vLLM places the ranks itself (0.32, v1/engine/utils.py, `create_dp_placement_groups`), on the nodes that it is allowed,
by Ray's numbers, the master's node first. What is decided here leaves it no other way:

- strict: every chosen node gets `data_parallel_size_local` ranks, no more and no fewer; a rank is never split.
- fill: the master's node gets `data_parallel_size_local` ranks, every other one as many as fit. So the others are
  taken whole, and the master takes the rest. vLLM does not know what is promised to an engine that has not begun:
  such a node can only be the master.
- span: a rank takes several nodes, all of one size and all free, in whole; `data_parallel_size_local` stays unset.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.cluster import Node

PACK_STRATEGY = "VLLM_RAY_DP_PACK_STRATEGY"
PACK_STRATEGIES = ("strict", "fill", "span")

NAMED = 6  # nodes that a refusal names


@dataclass(frozen=True)
class Topology:
    """What an engine needs: so many ranks of so many GPUs each, packed by a strategy of vLLM."""

    ranks: int
    size: int
    strategy: str

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.ranks * self.size


@dataclass(frozen=True)
class Room:
    """What a node has. `free` is nobody's; `seen` is what vLLM takes for free: promises are unknown to it."""

    address: str
    total: int
    free: int
    seen: int

    @property
    def whole(self) -> bool:
        """Whether the node has GPUs and nobody uses one."""
        return 0 < self.total == self.free


@dataclass(frozen=True)
class Placement:
    """The nodes of every rank, the master's first; a rank takes equally many of its `size` GPUs on each of its nodes.

    `local` is `data_parallel_size_local`, None where vLLM wants it unset.
    """

    ranks: tuple[tuple[str, ...], ...]
    size: int
    local: int | None

    @property
    def master(self) -> str:
        """The node where the engine's server starts."""
        return self.ranks[0][0]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node once, the master's first."""
        return tuple(dict.fromkeys(address for rank in self.ranks for address in rank))

    @property
    def gpus(self) -> dict[str, int]:
        """How many GPUs it takes on each node."""
        taken = dict.fromkeys(self.nodes, 0)
        for rank in self.ranks:
            for address in rank:
                taken[address] += self.size // len(rank)
        return taken

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return {"ranks": [list(rank) for rank in self.ranks], "size": self.size, "local": self.local}


def from_json(written: Mapping[str, Any]) -> Placement | None:
    """Return what was written down; None for an engine without GPUs, of which nothing was."""
    if not written:
        return None
    return Placement(tuple(tuple(rank) for rank in written["ranks"]), written["size"], written["local"])


def rooms(nodes: Sequence[Node], promised: Mapping[str, Mapping[str, int]]) -> list[Room]:
    """Return what the nodes have left.

    `promised` has the GPUs on each node of every attempt of ours: job → address → number. What the cluster holds for
    that job is part of the promise; what it holds for anybody else is not ours to give.
    """
    found = []
    for node in nodes:
        seen = node.gpus - sum(node.held.values())
        open_ = sum(
            max(0, gpus.get(node.address, 0) - node.held.get(job, 0)) for job, gpus in promised.items()
        )  # promised, and not taken yet
        found.append(Room(node.address, node.gpus, max(0, seen - open_), max(0, seen)))
    return found


def place(needed: Topology, there: Sequence[Room]) -> Placement | str:
    """Return where the engine goes, or one sentence that says why it does not fit.

    Few nodes are better than many; then those with the fewest free GPUs, so that large gaps stay for large engines.
    """
    usable = sorted((room for room in there if room.free), key=lambda room: (room.free, room.total, room.address))
    return _STRATEGIES[needed.strategy](needed, usable) or _refusal(needed, there)


def _strict(needed: Topology, usable: Sequence[Room]) -> Placement | None:
    for local in range(needed.ranks, 0, -1):
        if needed.ranks % local:
            continue
        chosen = [room for room in usable if room.free >= local * needed.size][: needed.ranks // local]
        if len(chosen) * local == needed.ranks:
            return Placement(tuple((room.address,) for room in chosen for _ in range(local)), needed.size, local)
    return None


def _fill(needed: Topology, usable: Sequence[Room]) -> Placement | None:
    found = [placement for room in usable if (placement := _fill_from(room, needed, usable))]
    return min(found, key=lambda placement: len(placement.nodes), default=None)


def _fill_from(master: Room, needed: Topology, usable: Sequence[Room]) -> Placement | None:
    """Return the placement with that master: the largest of the others, whole, and on the master the rest."""
    fits, rest, others = master.free // needed.size, needed.ranks, list[str]()
    for room in reversed(usable):
        count = room.free // needed.size
        known = count == room.seen // needed.size
        if room is not master and known and rest > fits and count < rest:
            others += [room.address] * count
            rest -= count
    if not 0 < rest <= fits:
        return None
    ranks = [master.address] * rest + others
    return Placement(tuple((address,) for address in ranks), needed.size, rest)


def _span(needed: Topology, usable: Sequence[Room]) -> Placement | None:
    for size in sorted({room.total for room in usable}, reverse=True):
        if size >= needed.size or needed.size % size:
            continue
        each = needed.size // size
        chosen = [room.address for room in usable if room.whole and room.total == size][: each * needed.ranks]
        if len(chosen) == each * needed.ranks:
            ranks = [tuple(chosen[start : start + each]) for start in range(0, len(chosen), each)]
            return Placement(tuple(ranks), needed.size, None)
    return None


_STRATEGIES: dict[str, Callable[[Topology, Sequence[Room]], Placement | None]] = {
    "strict": _strict,
    "fill": _fill,
    "span": _span,
}


def _refusal(needed: Topology, there: Sequence[Room]) -> str:
    gpus = [room for room in there if room.total]
    if not gpus:
        return f"It needs {_count(needed)}; the cluster has none."
    largest = max(room.total for room in gpus)
    named = ", ".join(f"{room.address} has {room.free} of {room.total} free" for room in gpus[:NAMED])
    more = f" and {len(gpus) - NAMED} more nodes do not help" if len(gpus) > NAMED else ""
    said = f"It needs {_count(needed)}{_manner(needed)}; {named}{more}"
    if needed.strategy == "span" and needed.size <= largest:
        return f"{said} (a rank of {needed.size} GPUs fits one node: set {PACK_STRATEGY} to strict)."
    if needed.strategy != "span" and needed.size > largest:
        return f"{said} (a rank of {needed.size} GPUs fits no node: set {PACK_STRATEGY} to span)."
    if needed.strategy == "strict" and sum(room.free // needed.size for room in gpus) >= needed.ranks:
        return f"{said} (strict puts equally many ranks on each node: fill does not)."
    return f"{said}."


def _count(needed: Topology) -> str:
    return f"{needed.ranks} x {needed.size} GPUs" if needed.ranks > 1 else _gpus(needed.size)


def _gpus(number: int) -> str:
    return "1 GPU" if number == 1 else f"{number} GPUs"


def _manner(needed: Topology) -> str:
    if needed.strategy == "span":
        return " on free nodes of one size, in whole"
    if needed.size == 1:
        return ""
    return " on one node each" if needed.ranks > 1 else " on one node"
