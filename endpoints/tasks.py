"""What beat asks for: a look at every endpoint that was registered by hand."""

from celery import shared_task
from django.utils import timezone

from endpoints import probe, queries, services


@shared_task(name="endpoints.probe_all")
def probe_all() -> None:
    """Look at all of them at the same time, and write down what was found."""
    endpoints = list(queries.registered_by_hand())
    targets = [probe.Target(endpoint.base_url, endpoint.api_key) for endpoint in endpoints]
    for endpoint, found in zip(endpoints, probe.look_at_all(targets), strict=True):
        services.apply_probe(endpoint, found, now=timezone.now())
