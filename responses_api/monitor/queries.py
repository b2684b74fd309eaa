"""What the monitoring page asks, over one window of time: counts of the minutes' sums, and cases of the ledger.

Minutes stay when the ledger is pruned, and are few: a page costs the same however many requests there were.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Case, F, FloatField, Func, Max, Min, Q, QuerySet, Sum, When
from django.db.models.functions import Floor

from responses_api.models import ResponseRecord, UsageMinute

EMPTY = ~Q(empty_cause="")
# An answer reached its caller as one: a failed request is counted beside, unless it failed by being empty.
ANSWERS = Sum(Case(When(EMPTY, then=F("requests")), default=F("requests") - F("errors")), default=0)
EMPTIES = Sum("requests", filter=EMPTY, default=0)


@dataclass(frozen=True)
class Window:
    """A span of time up to now, and the width of a bar of its chart."""

    key: str
    label: str
    span: timedelta
    bucket: timedelta


WINDOWS = {
    window.key: window
    for window in (
        Window("1h", "1 hour", timedelta(hours=1), timedelta(minutes=2)),
        Window("24h", "24 hours", timedelta(hours=24), timedelta(minutes=30)),
        Window("7d", "7 days", timedelta(days=7), timedelta(hours=4)),
        Window("30d", "30 days", timedelta(days=30), timedelta(days=1)),
    )
}
DEFAULT_WINDOW = "24h"


class Epoch(Func):
    """The seconds since 1970 of a time, in each database's own words."""

    output_field = FloatField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Return SQLite's form. The percent sign is halved twice: by the template, and by the database's driver."""
        return self.as_sql(compiler, connection, template="CAST(strftime('%%%%s', %(expressions)s) AS REAL)", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Return PostgreSQL's form."""
        return self.as_sql(compiler, connection, template="EXTRACT(EPOCH FROM %(expressions)s)", **extra)


@dataclass
class CauseRow:
    """The empty answers of one model with one cause."""

    model: str
    cause: str
    empties: int = 0
    first: datetime | None = None
    last: datetime | None = None
    engines: dict[str, int] = field(default_factory=dict)
    answers: int = 0  # of the model, with text or without

    @property
    def rate(self) -> float:
        """The share of the model's answers, from 0 to 1."""
        return self.empties / self.answers if self.answers else 0.0


@dataclass
class Summary:
    """One window, counted."""

    answers: int
    empties: int
    failures: int
    rows: list[CauseRow]
    models: list[str]

    @property
    def rate(self) -> float:
        """The share of answers that are empty, from 0 to 1."""
        return self.empties / self.answers if self.answers else 0.0


@dataclass(frozen=True)
class Bucket:
    """One bar of the chart."""

    start: datetime
    answers: int
    empties: int

    @property
    def rate(self) -> float:
        """The share of answers that are empty, from 0 to 1."""
        return self.empties / self.answers if self.answers else 0.0


def minutes(since: datetime, model: str = "") -> QuerySet[UsageMinute]:
    """Return the sums of all minutes since a time, the one that it lies in included; of one model or of all."""
    rows = UsageMinute.objects.filter(minute__gte=since.replace(second=0, microsecond=0)).order_by()
    return rows.filter(profile_name=model) if model else rows


def pulse(since: datetime) -> tuple[int, int]:
    """Return how many requests there were since a time, and how many empty answers."""
    found = minutes(since).aggregate(asked=Sum("requests", default=0), empties=EMPTIES)
    return found["asked"], found["empties"]


def summary(since: datetime, model: str = "") -> Summary:
    """Return the window's counts. The list of models is that of the whole window, whichever model is chosen."""
    groups = list(
        minutes(since)
        .values("profile_name", "endpoint_name", "empty_cause")
        .annotate(rows=Sum("requests"), answers=ANSWERS, first=Min("first_at"), last=Max("last_at"))
    )
    chosen = [group for group in groups if not model or group["profile_name"] == model]
    answers_of: dict[str, int] = defaultdict(int)
    found: dict[tuple[str, str], CauseRow] = {}
    for group in chosen:
        answers_of[group["profile_name"]] += group["answers"]
        if group["empty_cause"]:
            _add(found, group)
    for row in found.values():
        row.answers = answers_of[row.model]
        row.engines = dict(sorted(row.engines.items(), key=lambda item: -item[1]))
    return Summary(
        answers=sum(answers_of.values()),
        empties=sum(row.empties for row in found.values()),
        failures=sum(group["rows"] - group["answers"] for group in chosen),
        rows=sorted(found.values(), key=lambda row: (-row.empties, row.model, row.cause)),
        models=sorted({group["profile_name"] for group in groups}),
    )


def _add(found: dict[tuple[str, str], CauseRow], group: Mapping[str, Any]) -> None:
    model, cause = group["profile_name"], group["empty_cause"]
    row = found.setdefault((model, cause), CauseRow(model, cause))
    row.empties += group["rows"]
    row.first = min(filter(None, (row.first, group["first"])))
    row.last = max(filter(None, (row.last, group["last"])))
    engine = group["endpoint_name"] or "no engine"
    row.engines[engine] = row.engines.get(engine, 0) + group["rows"]


def buckets(window: Window, now: datetime, model: str = "") -> list[Bucket]:
    """Return the window cut into equal parts, oldest first, those without an answer included.

    Parts begin at whole multiples of their width since 1970, so that they stay the same while time goes on; the first
    and the last one are cut off by the window.
    """
    width = window.bucket.total_seconds()
    first = int((now - window.span).timestamp() // width)
    last = int(now.timestamp() // width)
    counted = {
        int(row["part"]): row
        for row in minutes(now - window.span, model)
        .annotate(part=Floor(Epoch(F("minute")) / width))
        .values("part")
        .annotate(answers=ANSWERS, empties=EMPTIES)
    }
    nothing = {"answers": 0, "empties": 0}
    return [
        Bucket(
            start=datetime.fromtimestamp(part * width, UTC),
            answers=counted.get(part, nothing)["answers"],
            empties=counted.get(part, nothing)["empties"],
        )
        for part in range(first, last + 1)
    ]


def cases(
    since: datetime, *, model: str = "", cause: str = "", page: int, size: int
) -> tuple[list[ResponseRecord], bool]:
    """Return one page of empty answers, newest first, and whether there are older ones. Pages begin at 1."""
    rows = ResponseRecord.objects.filter(EMPTY, created_at__gte=since).select_related("session")
    if model:
        rows = rows.filter(profile_name=model)
    if cause:
        rows = rows.filter(empty_cause=cause)
    start = (page - 1) * size
    found = list(rows[start : start + size + 1])
    return found[:size], len(found) > size
