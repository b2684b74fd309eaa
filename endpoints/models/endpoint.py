"""Where an OpenAI API is served, and how it fares."""

import contextlib

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from endpoints import base_url
from endpoints.secrets import SecretField
from endpoints.validators import name_validator, validate_base_url


class Endpoint(models.Model):
    """One OpenAI-compatible base URL: registered by hand, or owned by an engine (then `endpoint.engine` exists)."""

    class Health(models.TextChoices):
        """What the last probes said."""

        UNKNOWN = "unknown"
        HEALTHY = "healthy"
        UNHEALTHY = "unhealthy"

    class CircuitCause(models.TextChoices):
        """Why requests stay away from it, by what became of the last ones."""

        UNREACHABLE = "unreachable", "Connections failed"
        STALLED = "stalled", "Answers stalled"

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    base_url = models.CharField(
        max_length=500,
        validators=[validate_base_url],
        help_text="Where the OpenAI API is served, with /v1: http://gpu-1:8000/v1",
    )
    api_key = SecretField(blank=True, default="", help_text="Sent to the engine as a bearer token. Stored encrypted.")
    enabled = models.BooleanField(default=True, help_text="Off: gets no requests at all.")
    draining = models.BooleanField(default=False, help_text="On: keeps its sessions, gets no new ones.")
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="How many new sessions it gets for one that an endpoint of weight 1 gets, from 1 to 100.",
    )
    paused = models.BooleanField(
        default=False,
        help_text="On: its sessions wait, new ones go elsewhere, and nothing fails; what runs goes on.",
    )
    max_concurrent = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests that run on it at once; more of them queue. Empty: no limit, since vLLM queues by itself.",
    )
    max_queued = models.PositiveIntegerField(
        default=1000, help_text="Requests that may queue for it; what comes on top is refused with a 429."
    )

    health = models.CharField(max_length=10, choices=Health, default=Health.UNKNOWN, editable=False)
    health_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    health_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_probe_at = models.DateTimeField(null=True, blank=True, editable=False)
    probe_failures = models.PositiveIntegerField(default=0, editable=False, help_text="Failed probes in a row.")
    served_models = models.JSONField(default=list, blank=True, editable=False)
    max_model_len = models.PositiveIntegerField(null=True, blank=True, editable=False)

    circuit_cause = models.CharField(
        max_length=12, choices=CircuitCause, blank=True, default="", editable=False, help_text="Empty: closed."
    )
    circuit_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    circuit_trips = models.PositiveIntegerField(default=0, editable=False, help_text="How often in a row it opened.")
    circuit_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="No request before; after it one may try."
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Store the base URL in its one form, without a trailing slash."""
        # Django calls this even if a field was refused; its validator has said so already.
        with contextlib.suppress(base_url.BaseUrlError):
            self.base_url = base_url.check(self.base_url)
