"""Which endpoint a new session is bound to. Pure.

A profile's way of balancing narrows the candidates; among those that are left sessions take turns, which are counted
in the database. So what leaves several candidates is still spread exactly, whoever asks.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

# Names by endpoint id.
Candidates = Mapping[int, str]
# What is not in it weighs 1.
Weights = Mapping[int, int]

BY_LOAD = "least_loaded"

_LOAD = re.compile(rb"^vllm:num_requests_(running|waiting)(?:\{.*\})? +([0-9.eE+]+)", re.MULTILINE)
_HASHES = 2**64


def in_turn(candidates: Iterable[int], weights: Weights, turn: int) -> int:
    """Return whose turn it is: each candidate's comes as often as it weighs, spread evenly over the round."""
    ordered = sorted(candidates)
    if weights:
        ordered = _round(tuple((pk, weights.get(pk, 1)) for pk in ordered))
    return ordered[turn % len(ordered)]


@lru_cache(maxsize=256)
def _round(shares: tuple[tuple[int, int], ...]) -> list[int]:
    divisor = math.gcd(*(weight for _, weight in shares))
    places = [((place + 0.5) / weight, pk) for pk, weight in shares for place in range(weight // divisor)]
    return [pk for _, pk in sorted(places)]


def load_in(metrics: bytes) -> float | None:
    """Return how many requests an engine runs and queues, by its Prometheus metrics; None if they do not say."""
    found = _LOAD.findall(metrics)
    try:
        return sum(float(count) for _, count in found) if any(name == b"running" for name, _ in found) else None
    except ValueError:
        return None


def _all(candidates: Candidates, weights: Weights, key: str, loads: Mapping[int, float]) -> Candidates:  # noqa: ARG001
    return candidates


def _least_loaded(candidates: Candidates, weights: Weights, key: str, loads: Mapping[int, float]) -> Candidates:  # noqa: ARG001
    """Return those with the fewest requests for their weight; all, if it is not known of each."""
    if not candidates.keys() <= loads.keys():
        return candidates
    shares = {pk: loads[pk] / weights.get(pk, 1) for pk in candidates}
    least = min(shares.values(), default=0)
    return {pk: name for pk, name in candidates.items() if shares[pk] == least}


def _session_hash(candidates: Candidates, weights: Weights, key: str, loads: Mapping[int, float]) -> Candidates:  # noqa: ARG001
    """Return the one that the key falls to: a rendezvous hash, by which a new endpoint takes its share from each."""
    best = max(candidates, key=lambda pk: _score(key, pk, weights.get(pk, 1)), default=None)
    return {} if best is None else {best: candidates[best]}


def _score(key: str, endpoint_id: int, weight: int) -> float:
    digest = blake2b(f"{endpoint_id}:{key}".encode(), digest_size=8).digest()
    return -weight / math.log((int.from_bytes(digest, "big") + 0.5) / _HASHES)


WAYS: Mapping[str, Callable[[Candidates, Weights, str, Mapping[int, float]], Candidates]] = {
    "round_robin": _all,
    BY_LOAD: _least_loaded,
    "session_hash": _session_hash,
}
