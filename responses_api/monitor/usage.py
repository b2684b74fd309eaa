"""What was used, by model, endpoint and API key: the minutes' sums over a span of time, whole or in equal parts.

A minute belongs to a span if it begins in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Floor

from responses_api.models import UsageMinute
from responses_api.monitor.quantiles import quantile
from responses_api.monitor.queries import EMPTIES, Epoch, Window

# What rows can be told apart by, and their columns.
BY = {"profile": "profile_name", "endpoint": "endpoint_name", "key": "caller_name", "cause": "empty_cause"}
STEPS = [name for name, _ in UsageMinute.LATENCIES]
BOUNDS = [bound for _, bound in UsageMinute.LATENCIES]


@dataclass
class Sums:
    """The sums of some minutes."""

    requests: int = 0
    errors: int = 0
    empties: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    duration_ms: int = 0
    engine_ms: int = 0
    steps: list[int] = field(default_factory=lambda: [0] * len(STEPS))  # the latency histogram

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Sums":
        """Return a row of `counted` as it is read: databases give sums as numbers of several kinds."""
        plain = {name: int(row[f"sum_{name}"]) for name in PLAIN}
        return cls(**plain, steps=[int(row[f"sum_{name}"]) for name in STEPS])

    def add(self, other: "Sums") -> None:
        """Add another's."""
        for name in PLAIN:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.steps = [one + another for one, another in zip(self.steps, other.steps, strict=True)]

    @property
    def mean_ms(self) -> float | None:
        """How long a request took on average."""
        return self.duration_ms / self.requests if self.requests else None

    @property
    def p50_ms(self) -> float | None:
        """How long half of the requests took at most, about."""
        return quantile(0.5, self.steps, BOUNDS)

    @property
    def p95_ms(self) -> float | None:
        """How long all but a twentieth of the requests took at most, about."""
        return quantile(0.95, self.steps, BOUNDS)


PLAIN = [each.name for each in fields(Sums) if each.name != "steps"]
_SUMS = {f"sum_{name}": Sum(name, default=0) for name in (*PLAIN, *STEPS) if name != "empties"} | {
    "sum_empties": EMPTIES
}


@dataclass
class Report:
    """One window: in parts, by what it is told apart by, and in sum."""

    starts: list[datetime]
    cells: dict[str, dict[int, Sums]]  # by name, then by the part's index; those without a request are left out
    total: Sums
    parts: list[Sums]
    names: list[tuple[str, Sums]]  # those with the most requests first


def minutes(since: datetime, until: datetime, wanted: Mapping[str, str]) -> QuerySet[UsageMinute]:
    """Return the minutes of a span that have these values, each under its name in BY."""
    rows = UsageMinute.objects.filter(minute__gte=since.replace(second=0, microsecond=0), minute__lt=until)
    return rows.filter(**{BY[name]: value for name, value in wanted.items()}).order_by()


def counted(rows: QuerySet[UsageMinute], by: Sequence[str], width: float | None) -> QuerySet[Any, dict[str, Any]]:
    """Return the sums for each of what they are told apart by, and for each part of so many seconds: `part` counts
    them from 1970.
    """
    columns = [BY[name] for name in by]
    if width is not None:
        rows = rows.annotate(part=Floor(Epoch(F("minute")) / width))
        columns = ["part", *columns]
    found: QuerySet[Any, dict[str, Any]] = rows.values(*columns).annotate(**_SUMS).order_by(*columns)
    return found


def report(window: Window, now: datetime, by: str, wanted: Mapping[str, str]) -> Report:
    """Return what was used in a window. Parts begin at whole multiples of their width since 1970, as the page of empty
    answers has them.
    """
    width = window.bucket.total_seconds()
    first, last = int((now - window.span).timestamp() // width), int(now.timestamp() // width)
    parts = [Sums() for _ in range(first, last + 1)]
    cells: dict[str, dict[int, Sums]] = defaultdict(dict)
    total, of_name = Sums(), defaultdict[str, Sums](Sums)
    for row in counted(minutes(now - window.span, now, wanted), [by], width):
        name, part, sums = row[BY[by]], int(row["part"]) - first, Sums.of(row)
        cells[name][part] = sums
        for each in (total, of_name[name], parts[part]):
            each.add(sums)
    return Report(
        starts=[datetime.fromtimestamp(part * width, UTC) for part in range(first, last + 1)],
        cells=cells,
        total=total,
        parts=parts,
        names=sorted(of_name.items(), key=lambda item: (-item[1].requests, item[0])),
    )


def choices(window: Window, now: datetime, names: Iterable[str]) -> dict[str, list[str]]:
    """Return the values that each of these has in a window."""
    columns = {name: BY[name] for name in names}
    rows = [*minutes(now - window.span, now, {}).values_list(*columns.values()).distinct()]
    return {name: sorted({row[index] for row in rows}) for index, name in enumerate(columns)}
