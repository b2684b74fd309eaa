"""What servers cost with one load, in turns: what else a shared machine does meets all of them alike."""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.engine import SLOW_SECONDS, TOKENS
from bench.load import Load, drive
from bench.servers import Server

TEXT = "word " * 120
PATHS = {"responses": "/responses", "chat": "/chat/completions"}


@dataclass(frozen=True)
class Case:
    """What is asked, and how many requests are in flight. The CPU time of an answer is divided by `units`.

    `warm_up`: which part of the requests is sent before the measurement. `rounds`: in how many turns the rest is.
    """

    name: str
    unit: str
    asked: dict[str, Any]
    in_flight: int
    requests: int
    rounds: int
    units: int = 1
    ramp_seconds: float = 0.0
    warm_up: float = 0.2


def whole(in_flight: int, requests: int, *, store: bool, rounds: int) -> Case:
    """Ask for whole answers, at once. With one in flight there are fewer: they come one after another."""
    asked = {"model": "bench", "input": TEXT, "store": store}
    name = "stored" if store else "whole"
    requests = max(requests // (5 if in_flight == 1 else 1), in_flight)
    return Case(name, "request", asked, in_flight, requests, rounds=rounds)


def streamed(in_flight: int, requests: int, *, rounds: int) -> Case:
    """Ask for streamed answers."""
    asked = {"model": "bench", "input": TEXT, "store": False, "stream": True}
    return Case("streamed", "token", asked, in_flight, max(requests // 10, 2 * in_flight), units=TOKENS, rounds=rounds)


def crowd(in_flight: int) -> Case:
    """Ask a slow engine, which keeps so many requests waiting; after the first round they come evenly."""
    asked = {"model": "bench-slow", "input": TEXT, "store": False}
    return Case(
        "slow engine", "request", asked, in_flight, 4 * in_flight, rounds=1, ramp_seconds=SLOW_SECONDS, warm_up=0.25
    )


@dataclass(frozen=True)
class Row:
    """One line of the table. The CPU time is the median of the rounds', `ratio` that of the rounds' ratios to the bare
    relay with as many in flight, `to_empty` that of the rounds' ratios to the same server with an empty database; times
    are of whole answers, in milliseconds. A server whose processes are not known has no CPU time and no memory.
    """

    server: str
    sessions: int
    case: str
    in_flight: int
    unit: str
    cpu_us: float | None
    ratio: float | None
    to_empty: float | None
    added_p50_ms: float | None
    added_p99_ms: float | None
    p50_ms: float
    p99_ms: float
    per_second: float
    peak_mib: float | None


class Turns:
    """The rounds of one server."""

    def __init__(self, server: Server, load: Load, warm_up: Load | None) -> None:
        self.server = server
        self.cpu_us: list[float] = []  # a request, by round
        self.took: list[float] = []
        self.seconds = 0.0
        self._load = load
        server.meter.peak_mib = 0.0
        if warm_up is not None:
            asyncio.run(drive(server.target, warm_up))

    def take(self) -> None:
        """Drive the server for one round."""
        with self.server.meter.watching():
            before, begun = self.server.meter.cpu_seconds(), time.perf_counter()
            took = asyncio.run(drive(self.server.target, self._load))
            self.seconds += time.perf_counter() - begun
            self.cpu_us.append((self.server.meter.cpu_seconds() - before) / len(took) * 1e6)
        self.took += took

    def percentile(self, number: int) -> float:
        """Return how many milliseconds so many of a hundred requests took at most."""
        return statistics.quantiles(self.took, n=100)[number - 1] * 1e3


def measure(servers: Sequence[Server], case: Case, *, api: str = "responses", model: str = "") -> list[Row]:
    """Warm the servers, drive them in turns, and return what they cost; the first is what the others are compared with.

    One with sessions in its database is compared with the one before it without, too, if their names are the same.

    Raises:
        RuntimeError: if a request is not answered with 200.
    """
    body = json.dumps(_asked(case, api, model), separators=(",", ":")).encode()

    def load(requests: int) -> Load:
        requests = max(requests, case.in_flight)
        return Load(PATHS[api], body, case.in_flight, requests, ramp_seconds=case.ramp_seconds)

    warm_up = load(int(case.requests * case.warm_up)) if case.warm_up else None
    turns = [Turns(server, load(case.requests // case.rounds), warm_up) for server in servers]
    for _ in range(case.rounds):
        for each in turns:
            each.take()
    empty = {each.server.name: each for each in turns if not each.server.sessions}
    return [_row(case, each, turns[0], empty.get(each.server.name) if each.server.sessions else None) for each in turns]


def _row(case: Case, turns: Turns, base: Turns, empty: Turns | None) -> Row:
    server = turns.server
    is_base = turns is base
    p50, p99 = turns.percentile(50), turns.percentile(99)
    return Row(
        server=server.name,
        sessions=server.sessions,
        case=case.name,
        in_flight=case.in_flight,
        unit=case.unit,
        cpu_us=statistics.median(turns.cpu_us) / case.units if server.meter.is_known else None,
        ratio=None if is_base else _ratio(turns, base),
        to_empty=None if empty is None else _ratio(turns, empty),
        added_p50_ms=None if is_base else p50 - base.percentile(50),
        added_p99_ms=None if is_base else p99 - base.percentile(99),
        p50_ms=p50,
        p99_ms=p99,
        per_second=len(turns.took) / turns.seconds,
        peak_mib=server.meter.peak_mib if server.meter.is_known else None,
    )


def _ratio(turns: Turns, base: Turns) -> float | None:
    """Return the median of the ratios of what the rounds cost, each to the other server's round right beside it."""
    ratios = [mine / its for mine, its in zip(turns.cpu_us, base.cpu_us, strict=True) if its]
    return statistics.median(ratios) if ratios else None


def _asked(case: Case, api: str, model: str) -> dict[str, Any]:
    """Return the body: in the words of the API, and for another model if one is given."""
    asked = {**case.asked, "model": model or case.asked["model"]}
    if api == "chat":
        asked["messages"] = [{"role": "user", "content": asked.pop("input")}]
    return asked
