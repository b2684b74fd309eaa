"""What beat asks for: a look at every endpoint that was registered by hand."""

from celery import shared_task
from django.utils import timezone

from endpoints import probe, queries, services
from endpoints.models import Endpoint

UNREADABLE_KEY = "Its API key cannot be decrypted: set it anew."


@shared_task(name="endpoints.probe_all")
def probe_all() -> None:
    """Look at all of them at the same time, and write down what was found."""
    readable: list[tuple[Endpoint, str]] = []
    for endpoint, key in queries.with_keys(queries.registered_by_hand()):
        if key is None:
            services.apply_probe(endpoint, probe.Look(UNREADABLE_KEY), now=timezone.now())
        else:
            readable.append((endpoint, key))
    looks = probe.look_at_all([probe.Target(endpoint.base_url, key) for endpoint, key in readable])
    for (endpoint, _), found in zip(readable, looks, strict=True):
        services.apply_probe(endpoint, found, now=timezone.now())
