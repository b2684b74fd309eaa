"""Changes of endpoints that are not an operator's edits: what probes found, and what engines come and go with."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from endpoints.health import MAX_REASON, Health, Standing, judge
from endpoints.models import ConfigProfile, Endpoint
from endpoints.probe import Look


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
    endpoint.save()
    endpoint.profiles.add(*profiles)
    return endpoint


def drain_endpoint(endpoint_id: int) -> None:
    """Give the endpoint no new sessions: its engine is about to stop."""
    Endpoint.objects.filter(pk=endpoint_id).update(draining=True)


def withdraw_endpoint(endpoint_id: int, *, reason: str, now: dt.datetime) -> None:
    """Take the endpoint out of its pools at once, without waiting for a probe to fail; the row and its pools stay."""
    rows = Endpoint.objects.filter(pk=endpoint_id)
    rows.exclude(health=Endpoint.Health.UNHEALTHY).update(health_since=now)
    rows.update(health=Endpoint.Health.UNHEALTHY, health_reason=reason[:MAX_REASON], draining=False)


def _free_name(name: str) -> str:
    """Return the name, or, if an endpoint registered by hand has it, the first free one beside it."""
    candidate, number = name, 1
    while Endpoint.objects.filter(name=candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate
