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


class Fingerprint(models.Model):
    """The end of an answer, by which a conversation is known again whose client does not name its session."""

    digest = models.BigIntegerField()
    session_id = models.BigIntegerField(help_text="The session, unless it is deleted.")
    day = models.PositiveIntegerField(db_index=True, help_text="When the answer left, in days since 1970.")

    class Meta:
        # Conversations may be the same to the word.
        constraints = [models.UniqueConstraint(fields=["digest", "session_id"], name="one_fingerprint_per_session")]

    def __str__(self) -> str:
        return f"{self.digest:x}"


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
    api = models.CharField(max_length=20, help_text="Which API was called: responses, chat, messages, …")
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
    context_limit = models.PositiveBigIntegerField(
        null=True, help_text="Tokens that the engine takes, if a prompt did not fit."
    )
    asked_tokens = models.PositiveBigIntegerField(
        null=True, help_text="Tokens of output that were asked for then, beside the prompt's."
    )
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

    @property
    def shortage(self) -> str:
        """How much did not fit into the engine, in words; empty if it is not known."""
        needed = (self.input_tokens or 0) + (self.asked_tokens or 0)
        return f"needs {needed:,} of {self.context_limit:,} tokens" if self.context_limit and needed else ""


class UsageMinute(models.Model):
    """The ledger in sums: a minute, profile, endpoint, API key and cause (none, if the answers were not empty). It
    stays when the ledger's rows are pruned.
    """

    # Columns of the latency histogram: each counts the requests that took up to so many milliseconds, and longer than
    # those of the one before.
    LATENCIES = (
        ("took_100", 100.0),
        ("took_300", 300.0),
        ("took_1000", 1_000.0),
        ("took_3000", 3_000.0),
        ("took_10000", 10_000.0),
        ("took_30000", 30_000.0),
        ("took_100000", 100_000.0),
        ("took_300000", 300_000.0),
        ("took_longer", float("inf")),
    )

    minute = models.DateTimeField(help_text="Its beginning.")
    profile_name = models.CharField(max_length=200)
    endpoint_name = models.CharField(max_length=100, blank=True, default="")
    caller_name = models.CharField(
        max_length=100, blank=True, default="", help_text="Empty: counted before keys were told apart."
    )
    empty_cause = models.CharField(max_length=20, choices=CAUSE_CHOICES, blank=True, default="")
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0, help_text="Of the requests, those that failed.")
    input_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0)
    engine_ms = models.PositiveBigIntegerField(default=0)
    took_100 = models.PositiveIntegerField(default=0)
    took_300 = models.PositiveIntegerField(default=0)
    took_1000 = models.PositiveIntegerField(default=0)
    took_3000 = models.PositiveIntegerField(default=0)
    took_10000 = models.PositiveIntegerField(default=0)
    took_30000 = models.PositiveIntegerField(default=0)
    took_100000 = models.PositiveIntegerField(default=0)
    took_300000 = models.PositiveIntegerField(default=0)
    took_longer = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        ordering = ("-minute",)
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "profile_name", "endpoint_name", "caller_name", "empty_cause"],
                name="one_row_per_minute",
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.profile_name}"


class StoredResponse(models.Model):
    """A response that can be fetched and continued. Only the key that made it may: keys and profiles are named, not
    referred to, so that deleting one changes no row here.
    """

    class Status(models.TextChoices):
        """Where it stands; only what runs in the background is ever seen before its end."""

        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        COMPLETED = "completed"
        INCOMPLETE = "incomplete"
        FAILED = "failed"
        CANCELLED = "cancelled"

    response_id = models.CharField(max_length=100, unique=True)
    caller_id = models.BigIntegerField(help_text="The API key that made it.")
    caller_name = models.CharField(max_length=100)
    profile_name = models.CharField(max_length=200)
    session_key = models.CharField(max_length=200, blank=True, default="", help_text="What continues it, continues.")
    status = models.CharField(max_length=12, choices=Status)
    previous_response_id = models.CharField(max_length=100, blank=True, default="")
    conversation_id = models.CharField(max_length=100, blank=True, default="")
    background = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_index=True)
    expires_at = models.DateTimeField(null=True, db_index=True)
    lease_until = models.DateTimeField(
        null=True, help_text="The process that works on it renews this; long after it is past, that process is gone."
    )
    doubted_at = models.DateTimeField(null=True, help_text="When its lease was first found past; null: it was not.")
    body = models.BinaryField(help_text="The resource, as JSON. Before its end the column `status` is newer.")
    input = models.BinaryField(help_text="The request's own input, as JSON: text or items.")
    events = models.BinaryField(null=True, help_text="The events of a stream in the background.")

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = [
            models.Index(fields=["lease_until"], condition=models.Q(lease_until__isnull=False), name="stored_leases")
        ]

    def __str__(self) -> str:
        return self.response_id


class Conversation(models.Model):
    """A conversation that its caller made. It stays until it is deleted."""

    conversation_id = models.CharField(max_length=100, unique=True)
    caller_id = models.BigIntegerField(help_text="The API key that made it.")
    caller_name = models.CharField(max_length=100)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.conversation_id


class StoredItem(models.Model):
    """An item that is found by its own id: those of conversations, in their order, and those of a stored input whose
    ids the caller made. Any other id names its response.
    """

    item_id = models.CharField(max_length=200, db_index=True)
    caller_id = models.BigIntegerField()
    conversation = models.ForeignKey(
        Conversation, null=True, on_delete=models.CASCADE, db_constraint=False, related_name="items"
    )
    response_id = models.CharField(max_length=100, blank=True, default="", db_index=True)
    expires_at = models.DateTimeField(null=True, db_index=True)
    body = models.BinaryField()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.item_id


class Demand(models.Model):
    """What one process asks of an endpoint or a key that has a limit. Rows are replaced about twice a second."""

    process = models.CharField(max_length=40, db_index=True)
    subject = models.CharField(max_length=40, help_text="endpoint:<id> or key:<id>")
    running = models.PositiveIntegerField(help_text="What runs and what waits.")
    minute = models.PositiveBigIntegerField(help_text="Since the epoch.")
    requests = models.PositiveIntegerField(help_text="Of that minute.")
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.process} {self.subject}"
