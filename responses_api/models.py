"""Sessions and the ledger. Written by responses_api/ledger.py alone.

Ledger rows name their profile, endpoint and caller in plain text: history stays true when those are renamed or
deleted, and a row can always be written, whatever was deleted while its request ran.
"""

from django.db import models

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.verdict import Cause

CAUSE_CHOICES = [(cause.value, cause.value) for cause in Cause]


class Session(models.Model):
    """A conversation of one caller with one profile, pinned to an endpoint so that its prefix cache is used."""

    profile = models.ForeignKey(ConfigProfile, on_delete=models.CASCADE, db_constraint=False, related_name="sessions")
    caller = models.ForeignKey(ApiKey, on_delete=models.CASCADE, db_constraint=False, related_name="sessions")
    key = models.CharField(max_length=200, help_text="What the client sent, or was given.")
    endpoint = models.ForeignKey(
        Endpoint, null=True, on_delete=models.SET_NULL, db_constraint=False, related_name="sessions"
    )
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)
    requests = models.PositiveBigIntegerField(default=0)
    empties = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    moves = models.PositiveIntegerField(default=0, help_text="How often it was pinned to another endpoint.")

    class Meta:
        ordering = ("-last_seen_at",)
        constraints = [models.UniqueConstraint(fields=["profile", "caller", "key"], name="one_session_per_key")]

    def __str__(self) -> str:
        return self.key


class SessionMove(models.Model):
    """One re-pin of a session: from where, to where, and why. Rows are added, never changed."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="history")
    old_endpoint = models.CharField(max_length=100)
    new_endpoint = models.CharField(max_length=100)
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()

    class Meta:
        ordering = ("-at", "-pk")

    def __str__(self) -> str:
        return f"{self.old_endpoint} → {self.new_endpoint}"


class PoolTurn(models.Model):
    """How many sessions a profile's pool has been given: the shared counter behind exact round-robin."""

    profile = models.OneToOneField(ConfigProfile, primary_key=True, on_delete=models.CASCADE, db_constraint=False)
    taken = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.profile_id}: {self.taken}"


class ResponseRecord(models.Model):
    """The ledger: one row for every request of a known caller for a known profile, written before its answer leaves."""

    class Status(models.TextChoices):
        """How the answer ended."""

        COMPLETED = "completed"
        INCOMPLETE = "incomplete"
        FAILED = "failed"

    response_id = models.CharField(max_length=100, unique=True)
    api = models.CharField(max_length=20, help_text="responses or chat")
    profile_name = models.CharField(max_length=200)
    endpoint_name = models.CharField(max_length=100, blank=True, default="")
    caller_name = models.CharField(max_length=100)
    session = models.ForeignKey(
        Session, null=True, on_delete=models.SET_NULL, db_constraint=False, related_name="responses"
    )
    status = models.CharField(max_length=12, choices=Status)
    http_status = models.PositiveSmallIntegerField()
    empty_cause = models.CharField(max_length=20, choices=CAUSE_CHOICES, blank=True, default="")
    error_code = models.CharField(max_length=60, blank=True, default="")
    detail = models.CharField(
        max_length=1000, blank=True, default="", help_text="What the engine said, if it mattered."
    )
    finish_reason = models.CharField(max_length=40, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(default=1)
    input_tokens = models.PositiveBigIntegerField(null=True)
    cached_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    reasoning_tokens = models.PositiveBigIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(help_text="From the request's arrival to its commit.")
    engine_ms = models.PositiveIntegerField(null=True, help_text="Of that, spent waiting for the engine.")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = [
            models.Index(fields=["profile_name", "-created_at"], name="ledger_by_profile"),
            models.Index(fields=["-created_at"], condition=~models.Q(empty_cause=""), name="ledger_of_empties"),
        ]

    def __str__(self) -> str:
        return self.response_id
