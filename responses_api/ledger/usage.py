"""The ledger's rollup: a row for each minute, profile, endpoint, API key and cause, counted up with every commit."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from django.db.backends.utils import CursorWrapper

from responses_api.ledger import driver
from responses_api.ledger.rows import Row
from responses_api.models import ResponseRecord, UsageMinute

TABLE = UsageMinute._meta.db_table
KEY = ("minute", "profile_name", "endpoint_name", "caller_name", "empty_cause")
SUMS = (
    "requests",
    "errors",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "duration_ms",
    "engine_ms",
    *(field for field, _ in UsageMinute.LATENCIES),
)
_COLUMNS = (*KEY, *SUMS, "first_at", "last_at")
COUNT = (
    f"INSERT INTO {TABLE} ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))}) "  # noqa: S608
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
    + "".join(f"{name} = {TABLE}.{name} + excluded.{name}, " for name in SUMS)
    + f"first_at = CASE WHEN excluded.first_at < {TABLE}.first_at THEN excluded.first_at ELSE {TABLE}.first_at END, "
    f"last_at = CASE WHEN excluded.last_at > {TABLE}.last_at THEN excluded.last_at ELSE {TABLE}.last_at END"
)
_FIRST_LATENCY = SUMS.index(UsageMinute.LATENCIES[0][0])
_BOUNDS = [bound for _, bound in UsageMinute.LATENCIES]


def count(cursor: CursorWrapper, rows: Iterable[Row | ResponseRecord]) -> None:
    """Count rows of the ledger that are written in the same transaction."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        at = row.created_at
        minute = at.replace(second=0, microsecond=0)
        key = (minute, row.profile_name, row.endpoint_name, row.caller_name, row.empty_cause)
        sums = found.get(key)
        if sums is None:
            sums = found[key] = [*([0] * len(SUMS)), at, at]
        _add(sums, row)
    if found:
        lines = []
        for key, sums in sorted(found.items()):
            minute, first, last = driver.moments(cursor, [key[0], *sums[-2:]])
            lines.append((minute, *key[1:], *sums[:-2], first, last))
        driver.execute_many(cursor, COUNT, lines)


def _add(sums: list[Any], row: Row | ResponseRecord) -> None:
    sums[0] += 1
    sums[1] += row.status == ResponseRecord.Status.FAILED
    sums[2] += row.input_tokens or 0
    sums[3] += row.cached_tokens or 0
    sums[4] += row.output_tokens or 0
    sums[5] += row.reasoning_tokens or 0
    sums[6] += row.duration_ms
    sums[7] += row.engine_ms or 0
    sums[_FIRST_LATENCY + bisect_left(_BOUNDS, row.duration_ms)] += 1
    sums[-2] = min(sums[-2], row.created_at)
    sums[-1] = max(sums[-1], row.created_at)
