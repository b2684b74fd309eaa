"""The page of empty answers."""

from dataclasses import dataclass
from typing import Any
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
from responses_api.monitor import chart, queries
from responses_api.verdict import ADVICE, Cause

CASES_ON_A_PAGE = 25
MAX_PAGE = 10_000


@dataclass(frozen=True)
class Choice:
    """What the address asks for; whatever it asks that does not exist is replaced by the default."""

    window: queries.Window
    model: str
    cause: str
    page: int

    @classmethod
    def read(cls, request: HttpRequest) -> "Choice":
        """Return the choice that the query string makes."""
        get = request.GET.get
        cause, page = get("cause", ""), get("page", "")
        return cls(
            window=queries.WINDOWS.get(get("window", ""), queries.WINDOWS[queries.DEFAULT_WINDOW]),
            model=get("model", "").replace("\0", ""),
            cause=cause if cause in list(Cause) else "",
            page=min(max(int(page), 1), MAX_PAGE) if page.isascii() and page.isdigit() and len(page) < 9 else 1,  # noqa: PLR2004
        )

    def query(self, **changed: Any) -> str:
        """Return the query string of this choice with something else chosen; the first page, unless one is given."""
        values = {"window": self.window.key, "model": self.model, "cause": self.cause, "page": 1} | changed
        return "?" + urlencode({name: value for name, value in values.items() if value not in {"", 1}})


@staff_member_required
@require_safe
def empty_responses(request: HttpRequest) -> HttpResponse:
    """Show how many answers came back empty in a window, for which model and cause, and the latest of them."""
    choice, now = Choice.read(request), timezone.now()
    since = now - choice.window.span
    summary = queries.summary(since, choice.model)
    cases, older = queries.cases(since, model=choice.model, cause=choice.cause, page=choice.page, size=CASES_ON_A_PAGE)
    most = max((row.empties for row in summary.rows), default=0)
    context = {
        **admin.site.each_context(request),
        "title": "Empty responses",
        "choice": choice,
        "since": since,
        "now": now,
        "summary": summary,
        "chart": chart.draw(queries.buckets(choice.window, now, choice.model)) if summary.empties else None,
        "windows": [
            {"window": each, "query": choice.query(window=each.key), "chosen": each == choice.window}
            for each in queries.WINDOWS.values()
        ],
        # A model that had no answer in this window stays choosable while it is chosen.
        "models": sorted({*summary.models, choice.model} - {""}),
        "rows": [
            {
                "row": row,
                "share": 100 * row.empties / most,
                "query": choice.query(model=row.model, cause=row.cause),
            }
            for row in summary.rows
        ],
        # Each cause once, in the order in which the table names them first.
        "advice_items": list({row.cause: ADVICE[Cause(row.cause)] for row in summary.rows}.items()),
        "cases": cases,
        "newer_query": choice.query(page=choice.page - 1) if choice.page > 1 else "",
        "older_query": choice.query(page=choice.page + 1) if older else "",
        "all_causes_query": choice.query(cause=""),
        "ever_answered": bool(summary.answers or summary.failures) or UsageMinute.objects.exists(),
        "example_model": ConfigProfile.objects.filter(enabled=True).values_list("name", flat=True).first(),
        "gateway_url": request.build_absolute_uri(reverse("index")) + "v1/responses",
    }
    return TemplateResponse(request, "monitor/empty_responses.html", context)
