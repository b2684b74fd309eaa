"""Changes of endpoints that are not an operator's edits: what probes found, and what engines come and go with."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from endpoints.health import MAX_REASON, Health, Standing, judge
from endpoints.models import ConfigProfile, Endpoint
from endpoints.probe import Look

# A circuit that lets requests through.
CLOSED: Mapping[str, Any] = {
    "circuit_cause": "",
    "circuit_reason": "",
    "circuit_trips": 0,
    "circuit_until": None,
}


def apply_probe(endpoint: Endpoint, found: Look, *, now: dt.datetime) -> Standing:
    """Write what a probe found, and return the endpoint's standing.

    Nothing is written if the endpoint was changed or probed by someone else meanwhile: what they saw is newer.
    """
    before = Standing(Health(endpoint.health), endpoint.health_reason, endpoint.health_since, endpoint.probe_failures)
    after = judge(before, problem=found.problem, now=now)
    changes: dict[str, Any] = {
        "health": after.health,
        "health_reason": after.reason,
        "health_since": after.since,
        "probe_failures": after.failures,
        "last_probe_at": now,
    }
    if not found.problem:
        changes |= {"served_models": list(found.served_models), "max_model_len": found.max_model_len}
        # A probe shows that connections are taken. Whether answers stall, it does not see.
        changes |= CLOSED if endpoint.circuit_cause == Endpoint.CircuitCause.UNREACHABLE else {}
    Endpoint.objects.filter(
        pk=endpoint.pk,
        base_url=endpoint.base_url,
        health=endpoint.health,
        probe_failures=endpoint.probe_failures,
        last_probe_at=endpoint.last_probe_at,
    ).update(**changes)
    return after


def register_engine_endpoint(
    owned: int | None,
    *,
    name: str,
    base_url: str,
    api_key: str,
    found: Look,
    profiles: Iterable[ConfigProfile],
    now: dt.datetime,
) -> Endpoint:
    """Return the endpoint of a ready engine: the one it owns, or a new one of its name, healthy and in its pools.

    Pools are only added to: an operator may have put the endpoint into others.
    """
    endpoint = Endpoint.objects.filter(pk=owned).first() if owned is not None else None
    if endpoint is None:
        endpoint = Endpoint(name=_free_name(name))
    endpoint.base_url = base_url
    endpoint.api_key = api_key
    endpoint.draining = False
    endpoint.health = Endpoint.Health.HEALTHY
    endpoint.health_reason = ""
    endpoint.health_since = now
    endpoint.last_probe_at = now
    endpoint.probe_failures = 0
    endpoint.served_models = list(found.served_models)
    endpoint.max_model_len = found.max_model_len
    for column, value in CLOSED.items():
        setattr(endpoint, column, value)
    endpoint.save()
    endpoint.profiles.add(*profiles)
    return endpoint


def change_pools(endpoint: Endpoint, *, join: Iterable[ConfigProfile], leave: Iterable[ConfigProfile]) -> None:
    """Put an engine's endpoint into the pools of profiles that it serves by name, and take it out of others."""
    endpoint.profiles.remove(*leave)
    endpoint.profiles.add(*(profile for profile in join if profile.engine_model in endpoint.served_models))


def drain_endpoint(endpoint_id: int) -> None:
    """Give the endpoint no new sessions: its engine is about to stop."""
    Endpoint.objects.filter(pk=endpoint_id).update(draining=True)


def send_sessions_elsewhere(endpoint_id: int, *, reason: str, now: dt.datetime) -> bool:
    """Drain the endpoint and let its sessions move with their next request, if every pool of it has another one.

    What runs on it goes on. Return False, and do nothing, if a profile would have no endpoint then.
    """
    open_to_new = Endpoint.objects.filter(
        enabled=True, draining=False, paused=False, health=Endpoint.Health.HEALTHY
    ).exclude(pk=endpoint_id)
    if ConfigProfile.objects.filter(endpoints=endpoint_id).exclude(endpoints__in=open_to_new).exists():
        return False
    withdraw_endpoint(endpoint_id, reason=reason, now=now)
    drain_endpoint(endpoint_id)
    return True


def withdraw_endpoint(endpoint_id: int, *, reason: str, now: dt.datetime) -> None:
    """Take the endpoint out of its pools at once, without waiting for a probe to fail; the row and its pools stay."""
    rows = Endpoint.objects.filter(pk=endpoint_id)
    rows.exclude(health=Endpoint.Health.UNHEALTHY).update(health_since=now)
    rows.update(health=Endpoint.Health.UNHEALTHY, health_reason=reason[:MAX_REASON], draining=False)


def pause(rows: QuerySet[Endpoint] | QuerySet[ConfigProfile]) -> int:
    """Let requests wait, as for new weights: what runs goes on. Return how many rows were not paused before."""
    return rows.filter(paused=False).update(paused=True, updated_at=timezone.now())


def resume(rows: QuerySet[Endpoint] | QuerySet[ConfigProfile]) -> int:
    """Let requests go on. Return how many rows were paused.

    What was found of an endpoint while it was paused is forgotten: its engine may have been away for good reason. Of an
    engine of ours the launcher knows better.
    """
    if rows.model is Endpoint:
        paused = Endpoint.objects.filter(pk__in=rows.filter(paused=True).values("pk"))
        paused.update(**CLOSED)
        unwell = paused.filter(health=Endpoint.Health.UNHEALTHY, engine__isnull=True)
        Endpoint.objects.filter(pk__in=[*unwell.values_list("pk", flat=True)]).update(
            health=Endpoint.Health.UNKNOWN, health_reason="", health_since=timezone.now(), probe_failures=0
        )
    return rows.filter(paused=True).update(paused=False, updated_at=timezone.now())


def _free_name(name: str) -> str:
    """Return the name, or, if an endpoint registered by hand has it, the first free one beside it."""
    candidate, number = name, 1
    while Endpoint.objects.filter(name=candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate
