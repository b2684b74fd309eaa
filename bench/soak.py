"""`make soak`: many requests over many sessions, and memory that does not grow with them.

All kinds of answers are asked for: whole, stored and streamed. The memory after a third of the requests, when every
session is known and every pool is filled, is held against the memory at the end.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.load import Load, drive
from bench.measure import PATHS, TEXT
from bench.servers import SUBJECTS, Server, engine, roundhouse

ROUNDS = 30  # how often memory is read
KINDS: tuple[dict[str, Any], ...] = ({"store": False}, {"store": True}, {"store": False, "stream": True})
STREAMED_SHARE = 0.02  # they take far longer than the others


def run(server: Server, *, requests: int, sessions: int, in_flight: int) -> list[float]:
    """Return the memory after each round, in MiB."""
    found: list[float] = []
    sent = 0
    for _, kind in zip(range(ROUNDS), itertools.cycle(KINDS), strict=False):
        share = STREAMED_SHARE if kind.get("stream") else 1.5 - STREAMED_SHARE / 2
        body = json.dumps({"model": "bench", "input": TEXT, **kind}).encode()
        load = Load(PATHS["responses"], body, in_flight, max(int(requests / ROUNDS * share), in_flight), sessions, sent)
        asyncio.run(drive(server.target, load))
        sent += load.requests
        found.append(server.meter.memory_mib())
    return found


def main() -> None:
    """Soak a server, and exit with 1 if its memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=SUBJECTS, default="sqlite")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--may-grow", type=float, default=0.03, help="part of the memory; allocators breathe")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="rh-soak-") as folder,
        engine() as url,
        roundhouse(SUBJECTS[asked.server], url, Path(folder)) as server,
    ):
        found = run(server, requests=asked.requests, sessions=asked.sessions, in_flight=asked.in_flight)
    third = ROUNDS // 3
    warm, last = statistics.median(found[third : 2 * third]), statistics.median(found[-third:])
    grown = last / warm - 1
    sys.stdout.write(f"{asked.requests} requests, {asked.sessions} sessions: {warm:.1f} MiB warm, {last:.1f} at last ")
    sys.stdout.write(f"({grown:+.1%}, and {asked.may_grow:.0%} at most)\n")
    sys.exit(int(grown > asked.may_grow))


if __name__ == "__main__":
    main()
