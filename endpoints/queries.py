"""Reads of endpoints that more than one caller needs."""

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from endpoints.models import Endpoint
from endpoints.secrets import decrypt


def registered_by_hand() -> QuerySet[Endpoint]:
    """Return the enabled endpoints that no engine owns. The launcher looks after those of its engines itself."""
    return Endpoint.objects.filter(enabled=True, engine__isnull=True)


def with_keys(rows: QuerySet[Endpoint]) -> list[tuple[Endpoint, str | None]]:
    """Return each endpoint with its key; None for a key that was encrypted with another secret key.

    Each is decrypted by itself: one that cannot be read must not take the others with it.
    """
    sealed = rows.defer("api_key").annotate(sealed_key=Cast("api_key", TextField()))
    return [(endpoint, _unsealed(endpoint.sealed_key)) for endpoint in sealed]


def _unsealed(sealed: str) -> str | None:
    try:
        return decrypt(sealed)
    except ImproperlyConfigured:
        return None
