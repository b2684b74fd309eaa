"""Which endpoint a new session is bound to."""

from collections import Counter

import pytest

from responses_api.balancing import WAYS, in_turn, load_in

POOL = {1: "a", 2: "b", 3: "c"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, [1, 2, 3, 1, 2, 3]),
        ({1: 1, 2: 1, 3: 1}, [1, 2, 3, 1, 2, 3]),
        ({1: 2, 2: 2, 3: 2}, [1, 2, 3, 1, 2, 3]),
        ({1: 2}, [1, 2, 3, 1, 1, 2]),
        ({1: 1, 2: 3, 3: 2}, [2, 3, 1, 2, 3, 2]),
    ],
)
def test_turns_come_as_often_as_they_weigh_and_evenly(weights: dict[int, int], expected: list[int]) -> None:
    assert [in_turn(POOL, weights, turn) for turn in range(6)] == expected


def test_heavy_weights_are_exact() -> None:
    weights = {1: 100, 2: 33, 3: 1}
    assert Counter(in_turn(POOL, weights, turn) for turn in range(134)) == weights


@pytest.mark.parametrize(
    ("weights", "loads", "expected"),
    [
        ({}, {1: 3.0, 2: 1.0, 3: 2.0}, {2}),
        ({}, {1: 1.0, 2: 1.0, 3: 2.0}, {1, 2}),
        ({}, {1: 0.0, 2: 0.0, 3: 0.0, 4: -1.0}, {1, 2, 3}),
        ({1: 4}, {1: 7.0, 2: 2.0, 3: 2.0}, {1}),
        ({}, {1: 3.0, 2: 1.0}, {1, 2, 3}),
        ({}, {}, {1, 2, 3}),
    ],
)
def test_the_least_loaded_are_left_if_every_load_is_known(
    weights: dict[int, int], loads: dict[int, float], expected: set[int]
) -> None:
    assert WAYS["least_loaded"](POOL, weights, "key", loads).keys() == expected


def fallen(pool: dict[int, str], weights: dict[int, int]) -> list[int]:
    """Return where 3000 keys fall."""
    return [pk for number in range(3000) for pk in WAYS["session_hash"](pool, weights, f"sess_{number}", {})]


def test_keys_fall_by_weight_and_a_new_endpoint_takes_its_share_from_each() -> None:
    before, after = fallen(POOL, {}), fallen({**POOL, 4: "d"}, {})
    assert all(900 < count < 1100 for count in Counter(before).values())
    moved = Counter(old for old, new in zip(before, after, strict=True) if old != new)
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {4}
    assert 650 < sum(moved.values()) < 850
    assert all(180 < count < 320 for count in moved.values())
    assert 1350 < Counter(fallen(POOL, {1: 2}))[1] < 1650


@pytest.mark.parametrize("way", WAYS)
def test_nobody_is_chosen_from_nobody(way: str) -> None:
    assert WAYS[way]({}, {}, "key", {}) == {}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (b"", None),
        (b"<html>", None),
        (b'# HELP vllm:num_requests_running x\nvllm:num_requests_running{engine="0",model_name="a}b"} 3.0\n', 3),
        (b"vllm:num_requests_running 1\nvllm:num_requests_waiting 2.5e+01\n", 26),
        (b'vllm:num_requests_running{engine="0"} 1.0\nvllm:num_requests_running{engine="1"} 2.0\n', 3),
        (b'vllm:num_requests_running{engine="0"} 1.0\nvllm:num_requests_waiting_by_reason{reason="x"} 9.0\n', 1),
        (b"vllm:num_requests_waiting 2\n", None),
        (b"vllm:num_requests_running e.e\n", None),
    ],
)
def test_a_load_is_what_an_engine_runs_and_queues(metrics: bytes, expected: float | None) -> None:
    assert load_in(metrics) == expected
