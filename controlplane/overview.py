"""The admin's first page: what runs, what does not and why, and what to do next."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from endpoints.models import ConfigProfile, Endpoint
from launcher.admin import state_badge
from launcher.advice import next_step
from launcher.models import Engine
from launcher.states import Desired, State
from responses_api.models import UsageMinute
from responses_api.monitor.queries import pulse

# What needs a person comes first.
URGENCY = [
    State.FAILED,
    State.UNHEALTHY,
    State.PENDING,
    State.STARTING,
    State.STOPPING,
    State.READY,
    State.STOPPED,
]
HEALTH_URGENCY = [Endpoint.Health.UNHEALTHY, Endpoint.Health.UNKNOWN, Endpoint.Health.HEALTHY]
SHOWN = 50
LAST_HOUR = timedelta(hours=1)


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the first page's context. Each part is there only for those who may see its rows."""
    may = {
        name: request.user.has_perm(f"{app}.view_{name}") or request.user.has_perm(f"{app}.change_{name}")
        for app, name in [
            ("launcher", "engine"),
            ("endpoints", "endpoint"),
            ("endpoints", "configprofile"),
            ("responses_api", "responserecord"),
        ]
    }
    return context | {
        "title": "Overview",
        "engines": _engines() if may["engine"] else None,
        "engines_more": max(Engine.objects.count() - SHOWN, 0) if may["engine"] else 0,
        "endpoints": _endpoints() if may["endpoint"] else None,
        "endpoints_more": max(Endpoint.objects.count() - SHOWN, 0) if may["endpoint"] else 0,
        "has_profiles": ConfigProfile.objects.exists() if may["configprofile"] else None,
        "pulse": pulse(timezone.now() - LAST_HOUR) if may["responserecord"] else None,
        "ever_answered": may["responserecord"] and UsageMinute.objects.exists(),
    }


def _engines() -> list[dict[str, Any]]:
    engines = sorted(
        Engine.objects.defer("api_key", "log_tail"), key=lambda each: (URGENCY.index(State(each.state)), each.name)
    )
    return [
        {
            "engine": engine,
            "badge": state_badge(engine.state),
            "said": engine.phase if engine.state == State.STARTING and engine.phase else engine.state_reason,
            "next_step": next_step(State(engine.state), Desired(engine.desired_state)),
        }
        for engine in engines[:SHOWN]
    ]


def _endpoints() -> list[Endpoint]:
    rows = Endpoint.objects.defer("api_key", *(f"engine__{name}" for name in ("api_key", "hf_token", "log_tail")))
    rows = rows.select_related("engine").prefetch_related("profiles")
    urgency = {health.value: index for index, health in enumerate(HEALTH_URGENCY)}
    return sorted(rows, key=lambda each: (not each.enabled, urgency[each.health], each.name))[:SHOWN]
