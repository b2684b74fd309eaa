"""Every topology that people run, as rows; what never happens, as laws."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher import command, placement
from launcher.cluster import Node
from launcher.placement import Placement, Room, Topology, place


def room(address: str, total: int, free: int | None = None, seen: int | None = None) -> Room:
    left = total if free is None else free
    return Room(address, total, left, left if seen is None else seen)


def nodes(*free: int, total: int = 8) -> list[Room]:
    return [room(f"gpu-{number}", total, count) for number, count in enumerate(free, 1)]


def mixed(*totals: int) -> list[Room]:
    return [room(f"gpu-{number}", total) for number, total in enumerate(totals, 1)]


# ranks x size, strategy, nodes → the nodes of each rank, data_parallel_size_local
FITS: list[tuple[str, tuple[int, int], str, list[Room], list[str], int | None]] = [
    # The sample topologies of NeMo Gym's local vLLM.
    ("1 node, 1x8", (1, 8), "strict", nodes(8), ["1"], 1),
    ("1 node, 2x4", (2, 4), "strict", nodes(8), ["1", "1"], 2),
    ("1 node, 1x4 the first", (1, 4), "strict", nodes(8), ["1"], 1),
    ("1 node, 1x4 the second", (1, 4), "strict", nodes(4), ["1"], 1),
    ("2 nodes, 1x8 the first", (1, 8), "strict", nodes(8, 8), ["1"], 1),
    ("2 nodes, 1x8 the second", (1, 8), "strict", nodes(0, 8), ["2"], 1),
    ("2 nodes, 2x4 the first", (2, 4), "strict", nodes(8, 8), ["1", "1"], 2),
    ("2 nodes, 2x4 the second", (2, 4), "strict", nodes(0, 8), ["2", "2"], 2),
    ("2 nodes, 1x16", (1, 16), "span", nodes(8, 8), ["12"], None),
    ("4 nodes, 2x16", (2, 16), "span", nodes(8, 8, 8, 8), ["12", "34"], None),
    ("4 nodes, 1x16 the first", (1, 16), "span", nodes(8, 8, 8, 8), ["12"], None),
    ("4 nodes, 1x16 the second", (1, 16), "span", nodes(0, 0, 8, 8), ["34"], None),
    ("8 nodes, 2x16 the first", (2, 16), "span", nodes(*[8] * 8), ["12", "34"], None),
    ("8 nodes, 2x16 the second", (2, 16), "span", nodes(*[0] * 4, *[8] * 4), ["56", "78"], None),
    # Strict: equally many on each node, few nodes, and the fullest of those that suffice.
    ("best fit", (1, 2), "strict", nodes(8, 2, 4), ["2"], 1),
    ("one node before two", (2, 4), "strict", nodes(4, 4, 8), ["3", "3"], 2),
    ("one on each of two", (2, 8), "strict", nodes(8, 8), ["1", "2"], 1),
    ("two on each of two", (4, 4), "strict", nodes(8, 8), ["1", "1", "2", "2"], 2),
    ("one on each of four", (4, 4), "strict", nodes(4, 4, 8, 4), ["1", "2", "4", "3"], 1),
    ("nodes of several sizes", (1, 2), "strict", mixed(8, 2), ["2"], 1),
    # Fill: the others whole, the rest on the master.
    ("fill one node", (2, 4), "fill", nodes(8), ["1", "1"], 2),
    ("fill, unequally", (3, 4), "fill", nodes(4, 8), ["1", "2", "2"], 1),
    ("fill, a part of the master", (3, 2), "fill", nodes(4, 4), ["1", "2", "2"], 1),
    ("fill, a promise on the master", (3, 4), "fill", [room("gpu-1", 8, 4, 8), room("gpu-2", 8)], ["1", "2", "2"], 1),
    # Span: nodes of one size; the large ones first, so that few are taken.
    ("span the large", (1, 16), "span", mixed(4, 4, 8, 8), ["34"], None),
    ("span the small", (1, 8), "span", mixed(4, 4, 8), ["12"], None),
    ("span around a busy node", (1, 16), "span", nodes(8, 7, 8), ["13"], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "strategy", "there", "ranks", "local"), [row[1:] for row in FITS], ids=[row[0] for row in FITS]
)
def test_where_it_goes(
    shape: tuple[int, int], strategy: str, there: list[Room], ranks: list[str], local: int | None
) -> None:
    found = place(Topology(*shape, strategy), there)
    wanted = tuple(tuple(f"gpu-{digit}" for digit in rank) for rank in ranks)
    assert found == Placement(wanted, shape[1], local)
    assert placement.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("shape", "strategy", "there", "said"),
    [
        ((1, 1), "strict", [], "It needs 1 GPU; the cluster has none."),
        ((2, 4), "strict", mixed(0, 0), "It needs 2 x 4 GPUs; the cluster has none."),
        ((1, 1), "strict", nodes(0), "It needs 1 GPU; gpu-1 has 0 of 8 free."),
        (
            (2, 8),
            "strict",
            nodes(8, 6),
            "It needs 2 x 8 GPUs on one node each; gpu-1 has 8 of 8 free, gpu-2 has 6 of 8 free.",
        ),
        (
            (1, 16),
            "strict",
            nodes(8),
            (
                "It needs 16 GPUs on one node; gpu-1 has 8 of 8 free "
                "(a rank of 16 GPUs fits no node: set VLLM_RAY_DP_PACK_STRATEGY to span)."
            ),
        ),
        (
            (3, 4),
            "strict",
            nodes(8, 4),
            (
                "It needs 3 x 4 GPUs on one node each; gpu-1 has 8 of 8 free, gpu-2 has 4 of 8 free "
                "(strict puts equally many ranks on each node: fill does not)."
            ),
        ),
        (
            (1, 8),
            "span",
            nodes(8),
            (
                "It needs 8 GPUs on free nodes of one size, in whole; gpu-1 has 8 of 8 free "
                "(a rank of 8 GPUs fits one node: set VLLM_RAY_DP_PACK_STRATEGY to strict)."
            ),
        ),
        (
            (1, 16),
            "span",
            nodes(8, 7),
            "It needs 16 GPUs on free nodes of one size, in whole; gpu-1 has 8 of 8 free, gpu-2 has 7 of 8 free.",
        ),
        (
            (3, 4),
            "fill",
            [room("gpu-1", 8, 4, 8), room("gpu-2", 8, 4, 8)],
            "It needs 3 x 4 GPUs on one node each; gpu-1 has 4 of 8 free, gpu-2 has 4 of 8 free.",
        ),
        (
            (9, 1),
            "strict",
            nodes(*[1] * 8, total=1),
            (
                "It needs 9 x 1 GPUs; gpu-1 has 1 of 1 free, gpu-2 has 1 of 1 free, gpu-3 has 1 of 1 free, "
                "gpu-4 has 1 of 1 free, gpu-5 has 1 of 1 free, gpu-6 has 1 of 1 free and 2 more nodes do not help."
            ),
        ),
    ],
)
def test_why_it_does_not_fit(shape: tuple[int, int], strategy: str, there: list[Room], said: str) -> None:
    assert place(Topology(*shape, strategy), there) == said


def test_what_an_engine_needs() -> None:
    kwargs = {"data-parallel-size": 2, "tensor_parallel_size": 4, "pipeline_parallel_size": 2}
    env = {"VLLM_RAY_DP_PACK_STRATEGY": "span"}
    assert command.topology(kwargs, env) == Topology(2, 8, "span")
    assert command.topology(kwargs | {"prefill_context_parallel_size": 2}, env).gpus == 32


@pytest.mark.parametrize(
    ("held", "promised", "free", "seen"),
    [
        ({}, {}, 8, 8),
        ({"": 3, "someone": 1}, {}, 4, 4),
        ({}, {"ours": {"a": 4}}, 4, 8),
        ({"ours": 4}, {"ours": {"a": 4}}, 4, 4),
        ({"ours": 1, "": 2}, {"ours": {"a": 4}, "another": {"b": 8}}, 2, 5),
        ({"": 8}, {"ours": {"a": 4}}, 0, 0),
    ],
)
def test_what_is_left(held: dict[str, int], promised: dict[str, dict[str, int]], free: int, seen: int) -> None:
    assert placement.rooms([Node("a", True, 8, held)], promised) == [Room("a", 8, free, seen)]


@st.composite
def rooms(draw: st.DrawFn) -> list[Room]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        total = draw(st.sampled_from([0, 1, 2, 4, 8]))
        free = draw(st.one_of(st.just(total), st.integers(0, total)))
        found.append(room(f"n{number}", total, free, draw(st.one_of(st.just(free), st.integers(free, total)))))
    return found


topologies = st.builds(
    Topology, st.integers(1, 6), st.sampled_from([1, 2, 3, 4, 8, 16]), st.sampled_from(["strict", "fill", "span"])
)


@given(needed=topologies, there=rooms())
def test_the_laws(needed: Topology, there: list[Room]) -> None:
    found = place(needed, there)
    if isinstance(found, str):
        assert found.startswith("It needs ")
        assert found.endswith(".")
        assert not fits(needed, there)
        return
    by_address = {each.address: each for each in there}
    assert fits(needed, there)
    assert len(found.ranks) == needed.ranks
    assert sum(found.gpus.values()) == needed.gpus
    assert all(count <= by_address[address].free for address, count in found.gpus.items())
    if needed.strategy == "span":
        assert found.local is None
        assert all(by_address[address].whole for address in found.nodes)
        assert len({by_address[address].total for address in found.nodes}) == 1
        assert all(found.gpus[address] == by_address[address].total for address in found.nodes)
        return
    assert all(len(rank) == 1 for rank in found.ranks)
    counts = {address: sum(rank == (address,) for rank in found.ranks) for address in found.nodes}
    assert counts.pop(found.master) == found.local
    if needed.strategy == "strict":
        assert all(count == found.local for count in counts.values())
    else:  # vLLM takes whatever it sees there
        assert all(count == by_address[address].seen // needed.size for address, count in counts.items())


def fits(needed: Topology, there: list[Room]) -> bool:
    """Return whether there is any way, found by trying all."""
    if needed.strategy == "span":
        totals = [each.total for each in there if each.whole and each.total < needed.size]
        return any(needed.size % size == 0 and totals.count(size) * size >= needed.gpus for size in set(totals))
    slots = [each.free // needed.size for each in there]
    if needed.strategy == "strict":
        return any(
            needed.ranks % local == 0 and sum(count >= local for count in slots) * local >= needed.ranks
            for local in range(1, needed.ranks + 1)
        )
    sure = [each.free // needed.size == each.seen // needed.size for each in there]
    return any(
        1 <= needed.ranks - sum(slots[other] for other in others) <= slots[master]
        for master in range(len(there))
        for count in range(len(there))
        for others in combinations([each for each in range(len(there)) if each != master and sure[each]], count)
    )  # fmt: skip
