"""The page of usage: charts and tables of what was used, and the same as CSV."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from endpoints.models import ConfigProfile
from responses_api.models import UsageMinute
from responses_api.monitor import plot, queries, usage
from responses_api.monitor.plot import Column, Plot, Series
from responses_api.monitor.usage import Report, Sums
from responses_api.templatetags.figures import compact, duration

# What the page tells apart, as people call it.
BY = {"profile": "Model", "endpoint": "Endpoint", "key": "API key"}
# What stands for no name at all.
NAMELESS = {"profile": "no model", "endpoint": "no endpoint", "key": "counted before keys were told apart"}
# A chart tells so many names apart; the others are one more colour.
COLOURS = 6
COLUMNS = (
    *("requests", "errors", "empties", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("mean_ms", "p50_ms", "p95_ms"),
)
# A spreadsheet takes text that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Choice:
    """What the address asks for; whatever it asks that does not exist is replaced by the default."""

    window: queries.Window
    by: str
    wanted: Mapping[str, str]  # the chosen model, endpoint and key

    @classmethod
    def read(cls, request: HttpRequest) -> "Choice":
        """Return the choice that the query string makes."""
        get = request.GET.get
        by = get("by", "")
        chosen = {name: get(name, "").replace("\0", "") for name in BY}
        return cls(
            window=queries.WINDOWS.get(get("window", ""), queries.WINDOWS[queries.DEFAULT_WINDOW]),
            by=by if by in BY else "profile",
            wanted={name: value for name, value in chosen.items() if value},
        )

    def query(self, **changed: str) -> str:
        """Return the query string of this choice with something else chosen."""
        values = {"window": self.window.key, "by": self.by, **self.wanted, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class Panel:
    """One chart, with its scale in words."""

    title: str
    plot: Plot
    scale: tuple[str, str]  # the end of the scale, and its middle; an empty text where that is no whole number
    tips: list[str]  # what is said about each part of the window
    key: list[Series]  # the names of its colours, if they are its own

    @property
    def columns(self) -> list[tuple[Column, str]]:
        """The columns, and what is said about each."""
        return list(zip(self.plot.columns, self.tips, strict=True))


@staff_member_required
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show what was used in a window, told apart by model, endpoint or API key."""
    choice, now = Choice.read(request), timezone.now()
    found = usage.report(choice.window, now, choice.by, choice.wanted)
    there = usage.choices(choice.window, now, BY)
    context = {
        **admin.site.each_context(request),
        "title": "Usage",
        "choice": choice,
        "since": now - choice.window.span,
        "now": now,
        "report": found,
        "panels": _panels(found, choice) if found.total.requests else [],
        "names": _series(found, choice.by, lambda sums: sums.requests),
        "rows": [
            {
                "name": name or NAMELESS[choice.by],
                "sums": sums,
                "share": 100 * sums.requests / found.names[0][1].requests,
                # Nothing can be chosen by no name: an empty value in the address chooses all.
                "query": choice.query(**{choice.by: name}) if name and choice.by not in choice.wanted else "",
            }
            for name, sums in found.names
        ],
        "over_time": list(zip(found.starts, found.parts, strict=True)),
        "windows": [
            {"label": each.label, "query": choice.query(window=each.key), "chosen": each == choice.window}
            for each in queries.WINDOWS.values()
        ],
        "ways": [
            {"label": label, "query": choice.query(by=name), "chosen": name == choice.by} for name, label in BY.items()
        ],
        # What was not used in this window stays choosable while it is chosen.
        "filters": [
            {
                "name": name,
                "label": label,
                "chosen": choice.wanted.get(name, ""),
                "values": sorted({*there[name], choice.wanted.get(name, "")} - {""}),
            }
            for name, label in BY.items()
        ],
        "by_label": BY[choice.by],
        "csv_query": choice.query(),
        "ever_used": bool(found.total.requests) or UsageMinute.objects.exists(),
        "example_model": ConfigProfile.objects.filter(enabled=True).values_list("name", flat=True).first(),
        "gateway_url": request.build_absolute_uri(reverse("index")) + "v1/responses",
    }
    return TemplateResponse(request, "monitor/usage.html", context)


@staff_member_required
@require_safe
def table(request: HttpRequest) -> HttpResponse:
    """Return the page's numbers as CSV: a row for each part of the window and each name that was used in it."""
    choice, now = Choice.read(request), timezone.now()
    found = usage.report(choice.window, now, choice.by, choice.wanted)
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"usage-{choice.window.key}-by-{choice.by}-{now:%Y%m%dT%H%M}.csv"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(answer)
    writer.writerow(["from_utc", choice.by, *COLUMNS])
    for part, start in enumerate(found.starts):
        for name, sums in sorted((name, cells[part]) for name, cells in found.cells.items() if part in cells):
            shown = f"'{name}" if name.startswith(FORMULA) else name
            writer.writerow([f"{start:%Y-%m-%dT%H:%M:%SZ}", shown, *(_cell(getattr(sums, each)) for each in COLUMNS)])
    return answer


def _cell(value: float | None) -> str | int:
    if value is None:
        return ""
    return value if isinstance(value, int) else f"{value:.1f}"


def _series(found: Report, by: str, value: Callable[[Sums], float]) -> list[Series]:
    """Return a series for each of the largest names, and one for all others together."""
    names = [name for name, _ in found.names]
    alone, rest = (names, []) if len(names) <= COLOURS + 1 else (names[:COLOURS], names[COLOURS:])
    nothing = Sums()
    series = [
        Series(
            name or NAMELESS[by],
            f"rh-c{number}",
            [value(found.cells[name].get(part, nothing)) for part in range(len(found.starts))],
        )
        for number, name in enumerate(alone, 1)
    ]
    if rest:
        values = [
            sum(value(found.cells[name].get(part, nothing)) for name in rest) for part in range(len(found.starts))
        ]
        series.append(Series(f"{len(rest)} others", f"rh-c{COLOURS + 1}", values))
    return series


def _panels(found: Report, choice: Choice) -> list[Panel]:
    width_ms = choice.window.bucket.total_seconds() * 1000

    def by_name(title: str, value: Callable[[Sums], float]) -> Panel:
        return _bars(found, title, _series(found, choice.by, value), own=False)

    return [
        by_name("Requests", lambda sums: sums.requests),
        by_name("In flight, on average", lambda sums: sums.duration_ms / width_ms),
        by_name("Tokens in", lambda sums: sums.input_tokens),
        by_name("Tokens out", lambda sums: sums.output_tokens),
        _bars(
            found,
            "Empty and failed",
            [
                Series("failed", "rh-c-failed", [sums.errors for sums in found.parts]),
                Series("empty", "rh-c-empty", [sums.empties for sums in found.parts]),
            ],
            own=True,
        ),
        _latency(found),
    ]


def _bars(found: Report, title: str, series: list[Series], *, own: bool) -> Panel:
    drawn = plot.stacked(series)
    middle = drawn.top / 2
    tips = []
    for part, start in enumerate(found.starts):
        said = [f"{each.name}: {compact(each.values[part] or 0)}" for each in series if each.values[part]]
        tips.append("\n".join([f"{start:%Y-%m-%d %H:%M} UTC", *(said or ["nothing"])]))
    # Half of a request is none; whole numbers have a middle that is one.
    counts = all(float(value or 0).is_integer() for each in series for value in each.values)
    shown = "" if counts and not middle.is_integer() else compact(middle)
    return Panel(title, drawn, (compact(drawn.top), shown), tips, series if own else [])


def _latency(found: Report) -> Panel:
    series = [
        Series("95 of 100 take at most", "rh-c-p95", [sums.p95_ms for sums in found.parts]),
        Series("half take at most", "rh-c-p50", [sums.p50_ms for sums in found.parts]),
    ]
    drawn = plot.lines(series)
    tips = []
    for part, start in enumerate(found.starts):
        said = [f"{each.name}: {duration(value)}" for each in series if (value := each.values[part]) is not None]
        tips.append("\n".join([f"{start:%Y-%m-%d %H:%M} UTC", *(said or ["no requests"])]))
    return Panel("Latency, about", drawn, (duration(drawn.top), duration(drawn.top / 2)), tips, series)
