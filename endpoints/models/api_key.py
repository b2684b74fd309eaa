"""Who may call."""

import secrets
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models

from endpoints import keys
from endpoints.models.profile import ConfigProfile


class ApiKey(models.Model):
    """Who may call. The key itself is shown once, when it is made; here is its hash."""

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    shown = models.CharField(max_length=20, editable=False)
    scope_gateway = models.BooleanField("gateway", default=True, help_text="May call /v1/*.")
    scope_control = models.BooleanField("control", default=False, help_text="May call /api/v1/*.")
    profiles = models.ManyToManyField(
        ConfigProfile, blank=True, related_name="api_keys", help_text="Empty: every profile may be called."
    )
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="More of them are refused with a 429. Empty: no limit.",
    )
    max_concurrent = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests that may run at once; more are refused with a 429. Empty: no limit.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        verbose_name = "API key"
        permissions = (("issue_control_keys", "Can issue keys for the control API"),)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, **fields: Any) -> tuple["ApiKey", str]:
        """Create a key; return the row and the plaintext, which cannot be had again."""
        row = cls(**fields)
        plain = row.renew()
        row.save(force_insert=True)
        return row, plain

    def renew(self) -> str:
        """Give the row a fresh key, without saving; return the plaintext."""
        plain = keys.plaintext(secrets.token_bytes(24))
        self.digest, self.shown = keys.digest(plain), keys.shown(plain)
        return plain
