"""The admin's page of an engine's log, which a script keeps up to date; without one it shows what there is by now."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from launcher import logs, ray_cluster
from launcher.log_lines import tail
from launcher.models import Engine
from launcher.tail import standing

LINES = 400


def log_page(request: HttpRequest, engine: Engine) -> HttpResponse:
    """Show the log of the newest launch, or of the one that the query string names."""
    asked = request.GET.get("attempt", "")
    number = int(asked) if asked.isdecimal() and len(asked) <= logs.MAX_DIGITS else 0
    only = number if number <= engine.generation else 0
    attempt, search = only or engine.generation, request.GET.get("search", "")
    text = logs.reader(engine, attempt, ray_cluster.from_settings()).read() if attempt else ""
    context = {
        **admin.site.each_context(request),
        "title": f"Log of {engine.name}",
        "engine": engine,
        "only": only,
        "attempt": attempt,
        "attempts": logs.attempts(engine),
        "standing": standing(engine, attempt),
        "search": search,
        "lines": tail(logs.matching(text, search), LINES),
        "form_classes": {"input": " ".join(INPUT_CLASSES), "select": " ".join(SELECT_CLASSES)},
    }
    return TemplateResponse(request, "admin/launcher/engine/log.html", context)
