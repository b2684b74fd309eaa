"""`make bench`: what the gateway costs beside a bare relay, measured in one run.

Server CPU (user and system, whole process tree) per request, and per token of streamed answers, is what counts;
absolute times drift on shared machines, so every figure stands beside the relay's, and both are measured in turns.

With BASE_URL (and KEY, MODEL) in the environment, the same load goes to any other OpenAI-compatible server instead.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench.database import why_no_postgres
from bench.load import Target
from bench.measure import PATHS, Case, Row, crowd, measure, streamed, whole
from bench.processes import Meter
from bench.servers import SUBJECTS, Server, Subject, engine, relay, roundhouse

COLUMNS = (
    ("server", 32),
    ("sessions", 9),
    ("answers", 11),
    ("in flight", 9),
    ("CPU µs", 7),
    ("per", 7),
    ("ratio", 5),
    ("to empty", 8),
    ("+p50 ms", 7),
    ("+p99 ms", 7),
    ("p50 ms", 8),
    ("p99 ms", 8),
    ("a second", 8),
    ("peak MiB", 8),
)


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", choices=SUBJECTS, help="ways to run Roundhouse; all, unless given")
    parser.add_argument("--requests", type=int, default=6_000, help="per measurement; streams get a tenth")
    parser.add_argument("--rounds", type=int, default=5, help="turns in which they are sent; more for less noise")
    parser.add_argument("--in-flight", type=int, nargs="*", default=[1, 32, 256], help="of whole answers")
    parser.add_argument("--streams", type=int, nargs="*", default=[32, 256], help="of streamed answers")
    parser.add_argument("--crowd", type=int, default=2_000, help="of answers that take seconds; 0: none")
    parser.add_argument("--api", choices=PATHS, default="responses", help="what BASE_URL is asked by")
    parser.add_argument("--pid", type=int, help="the process behind BASE_URL, if its CPU time is to be measured")
    parser.add_argument("--json", type=Path, help="write the rows there instead of behind the table")
    return parser.parse_args()


def cases(asked: argparse.Namespace) -> list[Case]:
    """Return the loads."""
    requests, rounds = asked.requests, asked.rounds
    found = [whole(each, requests, store=store, rounds=rounds) for store in (False, True) for each in asked.in_flight]
    found += [streamed(each, requests, rounds=rounds) for each in asked.streams]
    return [*found, crowd(asked.crowd)] if asked.crowd else found


def subjects(names: Sequence[str] | None) -> Iterator[Subject]:
    """Yield the ways to run Roundhouse that can be run here."""
    wanted = [SUBJECTS[name] for name in names or SUBJECTS]
    missing = why_no_postgres() if any(subject.postgres for subject in wanted) else ""
    if missing:
        sys.stdout.write(f"PostgreSQL is not measured: {missing}\n")
    yield from (subject for subject in wanted if not (missing and subject.postgres))


def groups(found: Iterable[Subject]) -> Iterator[list[Subject]]:
    """Yield those together that differ by their sessions alone: they are driven in the same turns."""
    alike: dict[Subject, list[Subject]] = {}
    for subject in found:
        alike.setdefault(replace(subject, sessions=0), []).append(subject)
    yield from alike.values()


def against_relay(asked: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of Roundhouse, and the relay's that were measured beside the first of them."""
    with tempfile.TemporaryDirectory(prefix="rh-bench-") as folder, engine() as url, relay(url) as bare:
        for number, alike in enumerate(groups(subjects(asked.servers))):
            with contextlib.ExitStack() as stack:
                servers = [
                    stack.enter_context(roundhouse(each, url, Path(folder) / f"{number}-{each.sessions}"))
                    for each in alike
                ]
                for case in cases(asked):
                    rows = measure([bare, *servers], case)
                    yield from rows[1:] if number else rows


def of_other(base_url: str, asked: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of another server. It is not asked to keep thousands waiting: nobody knows how long that takes."""
    model = os.environ.get("MODEL", "")
    if not model:
        sys.exit("Say which model the server is to be asked for: MODEL=…")
    server = Server(base_url, Target(base_url, os.environ.get("KEY", "")), Meter(asked.pid))
    asked.crowd = 0
    for case in cases(asked):
        # How many tokens it streams is its own affair.
        yield from measure([server], replace(case, unit="answer", units=1), api=asked.api, model=model)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the table, each as soon as it is known."""
    yield "  ".join(name.ljust(width) for name, width in COLUMNS).rstrip()
    for row in rows:
        cells = (
            row.server,
            f"{row.sessions:,}",
            row.case,
            str(row.in_flight),
            _number(row.cpu_us, 1 if row.unit == "token" else 0),
            row.unit,
            _number(row.ratio, 2),
            _number(row.to_empty, 2),
            _number(row.added_p50_ms, 2),
            _number(row.added_p99_ms, 2),
            _number(row.p50_ms, 2),
            _number(row.p99_ms, 2),
            _number(row.per_second, 0),
            _number(row.peak_mib, 0),
        )
        yield "  ".join(cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)).rstrip()


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def main() -> None:
    """Measure, and print the table and its rows as JSON."""
    asked = options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file, here and in the servers
    base_url = os.environ.get("BASE_URL")
    rows: list[Row] = []

    def noted() -> Iterator[Row]:
        for row in of_other(base_url, asked) if base_url else against_relay(asked):
            rows.append(row)
            yield row

    try:
        for line in table(noted()):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (RuntimeError, OSError, EOFError) as error:
        sys.exit(str(error))
    as_json = "[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n"
    if asked.json:
        asked.json.write_text(as_json)
    else:
        sys.stdout.write("\n" + as_json)


if __name__ == "__main__":
    main()
