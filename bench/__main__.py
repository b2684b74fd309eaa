"""`make bench`: what the gateway costs beside a bare relay, measured in one run.

Server CPU (user and system, whole process tree) per request is what counts; absolute times drift on shared machines, so
every figure stands beside the relay's of the same minute.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import Load, drive
from bench.servers import Server, roundhouse, uvicorn

BODY = json.dumps({"model": "bench", "input": "word " * 120, "store": False}).encode()


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is to the bare relay with as many in flight."""

    server: str
    in_flight: int
    cpu_us: float
    ratio: float
    p50_ms: float
    p99_ms: float
    memory_mib: float


def measure(server: Server, *, in_flight: int, requests: int, relay_cpu_us: float) -> Row:
    """Warm the server, drive it, and return what it cost. Without a relay's figure the ratio is 1."""
    load = Load("127.0.0.1", server.port, "/v1/responses", server.key, BODY)
    asyncio.run(drive(load, in_flight=in_flight, requests=max(requests // 5, in_flight)))
    before = server.cpu_seconds()
    took = asyncio.run(drive(load, in_flight=in_flight, requests=requests))
    cpu_us = (server.cpu_seconds() - before) / requests * 1e6
    cuts = statistics.quantiles(took, n=100)
    ratio = cpu_us / relay_cpu_us if relay_cpu_us else 1.0
    return Row(server.name, in_flight, cpu_us, ratio, cuts[49] * 1e3, cuts[98] * 1e3, server.memory_mib())


def main() -> None:
    """Measure, print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--json", type=Path, help="write the rows there")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rh-bench-") as folder, uvicorn("engine", "bench.engine:app") as engine:
        url = f"http://127.0.0.1:{engine.port}"
        with (
            uvicorn("bare relay", "bench.relay:app", BENCH_ENGINE=url) as relay,
            roundhouse("Roundhouse, SQLite", url, Path(folder) / "sqlite") as sqlite,
        ):
            for in_flight in arguments.in_flight:
                base = measure(relay, in_flight=in_flight, requests=arguments.requests, relay_cpu_us=0.0)
                rows.append(base)
                cost = measure(sqlite, in_flight=in_flight, requests=arguments.requests, relay_cpu_us=base.cpu_us)
                rows.append(cost)
    _print(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def _print(rows: list[Row]) -> None:
    head = ("server", "in flight", "CPU µs/request", "ratio", "p50 ms", "p99 ms", "MiB")
    lines = [
        (
            row.server,
            str(row.in_flight),
            f"{row.cpu_us:.0f}",
            f"{row.ratio:.2f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.memory_mib:.0f}",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    for line in [head, *lines]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


if __name__ == "__main__":
    main()
