"""What an operator edits: config profiles, endpoints and API keys."""

import contextlib
import json
import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from endpoints import base_url, keys
from endpoints.secrets import SecretField

name_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
    "Use letters, digits and . _ : / - , beginning with a letter or a digit.",
)

MAX_JSON_DEPTH = 50


def validate_base_url(value: str) -> None:
    """Refuse a base URL with the message, and the corrected form, of the rule."""
    try:
        base_url.check(value)
    except base_url.BaseUrlError as error:
        raise ValidationError(str(error)) from None


def validate_json_object(value: object) -> None:
    """Refuse JSON that is not an object."""
    if not isinstance(value, dict):
        raise ValidationError('Give a JSON object, for example {"temperature": 1.0}.')
    if _depth(value) > MAX_JSON_DEPTH:
        raise ValidationError(f"This is nested too deeply: {MAX_JSON_DEPTH} levels are allowed.")
    if "\\u0000" in json.dumps(value):
        raise ValidationError("A database stores no null characters (\\u0000).")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValidationError("Half of a surrogate pair (\\ud800 to \\udfff) is no character.") from None


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_JSON_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def validate_bearer(value: str) -> None:
    """Refuse a key that no HTTP header can carry."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValidationError("A key is printable ASCII without blanks or line breaks.")


class Endpoint(models.Model):
    """One OpenAI-compatible base URL: registered by hand, or owned by an engine (then `endpoint.engine` exists)."""

    class Health(models.TextChoices):
        """What the last probes said."""

        UNKNOWN = "unknown"
        HEALTHY = "healthy"
        UNHEALTHY = "unhealthy"

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    base_url = models.CharField(
        max_length=500,
        validators=[validate_base_url],
        help_text="Where the OpenAI API is served, with /v1: http://gpu-1:8000/v1",
    )
    api_key = SecretField(blank=True, default="", help_text="Sent to the engine as a bearer token. Stored encrypted.")
    enabled = models.BooleanField(default=True, help_text="Off: gets no requests at all.")
    draining = models.BooleanField(default=False, help_text="On: keeps its sessions, gets no new ones.")

    health = models.CharField(max_length=10, choices=Health, default=Health.UNKNOWN, editable=False)
    health_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    health_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_probe_at = models.DateTimeField(null=True, blank=True, editable=False)
    probe_failures = models.PositiveIntegerField(default=0, editable=False, help_text="Failed probes in a row.")
    served_models = models.JSONField(default=list, blank=True, editable=False)
    max_model_len = models.PositiveIntegerField(null=True, blank=True, editable=False)

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


class ConfigProfile(models.Model):
    """A served model name and its request-time settings. Clients choose it by `model`."""

    class ContextOverflow(models.TextChoices):
        """What a prompt that is too long for the engine becomes."""

        EMPTY = "empty", "An empty answer (rollouts go on)"
        ERROR = "error", "A 400 error (agents can compact)"

    name = models.CharField(
        max_length=200, unique=True, validators=[name_validator], help_text="What clients send as model."
    )
    description = models.CharField(max_length=500, blank=True, default="")
    upstream_model = models.CharField(
        max_length=500,
        blank=True,
        default="",
        help_text="The model name that the engine knows. Empty: the same as the name above.",
    )
    endpoints = models.ManyToManyField(
        Endpoint, related_name="profiles", blank=True, help_text="The pool that sessions are spread over."
    )
    enabled = models.BooleanField(default=True)

    uses_reasoning_parser = models.BooleanField(
        default=True,
        help_text="On: &lt;think&gt; text and the engine's reasoning field become reasoning items, and go back to the "
        "engine as reasoning. Off: the text is passed through as it is.",
    )
    replace_developer_role_with_system = models.BooleanField(
        default=False, help_text="For chat templates that know no developer role."
    )
    context_overflow = models.CharField(max_length=10, choices=ContextOverflow, default=ContextOverflow.EMPTY)
    chat_template_kwargs = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_json_object],
        help_text="Passed to the model's chat template.",
    )
    extra_body = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_json_object],
        help_text="Defaults for the engine's request body; whatever the request holds wins.",
    )
    sampling_overrides = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_json_object],
        help_text="Forced into the engine's request body; beats whatever the request holds.",
    )
    request_timeout_seconds = models.PositiveIntegerField(
        default=3600,
        validators=[MinValueValidator(1), MaxValueValidator(86_400)],
        help_text="How long one answer may take, in seconds.",
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def engine_model(self) -> str:
        """The model name to send to the engine."""
        return self.upstream_model or self.name


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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        verbose_name = "API key"

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
