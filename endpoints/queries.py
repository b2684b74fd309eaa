"""Reads of endpoints that more than one caller needs."""

from django.db.models import QuerySet

from endpoints.models import Endpoint


def registered_by_hand() -> QuerySet[Endpoint]:
    """Return the enabled endpoints that no engine owns. The launcher looks after those of its engines itself."""
    return Endpoint.objects.filter(enabled=True, engine__isnull=True)
