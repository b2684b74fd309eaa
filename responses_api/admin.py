"""Admin pages for sessions and the ledger: shown, never edited."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import display

from endpoints.admin_pages import History, HistoryInline, badge, link, stamp
from endpoints.models import ConfigProfile, Endpoint
from responses_api.models import ResponseRecord, Session, SessionMove
from responses_api.templatetags.figures import grouped
from responses_api.verdict import ADVICE, Cause

STATUS_BADGE = {
    ResponseRecord.Status.COMPLETED: "success",
    ResponseRecord.Status.INCOMPLETE: "warning",
    ResponseRecord.Status.FAILED: "danger",
}


def token_counts(given: int | None, generated: int | None) -> SafeString:
    """Return both counts on one line; a dash for one that is not known."""
    shown = ["-" if count is None else grouped(count) for count in (given, generated)]
    return format_html('<span class="rh-once">{} / {}</span>', *shown)


class ProfileFilter(admin.SimpleListFilter):
    """The profiles that there are, from their own small table: the ledger is too long to be asked for its names."""

    title = "profile"
    parameter_name = "profile_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(name, name) for name in ConfigProfile.objects.values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return the rows of the chosen profile; of one that was deleted too, if its name is in the address."""
        return queryset.filter(profile_name=self.value()) if self.value() else queryset


class EndpointFilter(admin.SimpleListFilter):
    """The endpoints that there are, by name alone: their keys stay in the database."""

    title = "endpoint"
    parameter_name = "endpoint"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(str(pk), name) for pk, name in Endpoint.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return the sessions that are pinned to the chosen endpoint."""
        value = self.value() or ""
        return queryset.filter(endpoint_id=int(value)) if value.isascii() and value.isdigit() else queryset


class EmptyFilter(admin.SimpleListFilter):
    """Empty answers, as a whole or by cause."""

    title = "empty answers"
    parameter_name = "empty"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("any", "any cause"), *((cause.value, cause.value) for cause in Cause)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return the empty answers that were chosen. Naming "not empty" lets the index of empties be used."""
        if not self.value():
            return queryset
        empties = queryset.exclude(empty_cause="")
        return empties if self.value() == "any" else empties.filter(empty_cause=self.value())


@admin.register(ResponseRecord)
class ResponseRecordAdmin(History):
    """The ledger: one row for every request that was answered."""

    list_display = (
        "shown_at",
        "shown_id",
        "profile_name",
        "endpoint_name",
        "shown_status",
        "shown_cause",
        "tokens",
        "duration_ms",
    )
    list_display_links = ("shown_at", "shown_id")
    list_filter = (ProfileFilter, EmptyFilter, "status", "api", "created_at")
    search_fields = ("=response_id",)
    search_help_text = "A whole response id."
    fieldsets = (
        (None, {"fields": ("response_id", "shown_at", "api", "profile_name", "endpoint_name", "caller_name")}),
        ("Session", {"fields": ("session_link",)}),
        (
            "Outcome",
            {
                "fields": (
                    "shown_status",
                    "http_status",
                    "shown_cause",
                    "advice",
                    "error_code",
                    "detail",
                    "finish_reason",
                    "attempts",
                )
            },
        ),
        ("Tokens", {"fields": ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")}),
        ("Time, in milliseconds", {"fields": ("duration_ms", "engine_ms")}),
    )
    readonly_fields = ("shown_at", "session_link", "shown_status", "shown_cause", "advice")

    @display(description="When (UTC)")
    def shown_at(self, record: ResponseRecord) -> SafeString | str:
        """Return when the answer left."""
        return stamp(record.created_at)

    @display(description="Response id")
    def shown_id(self, record: ResponseRecord) -> SafeString:
        """Return the beginning of the id; all of it is on the row's page."""
        short = Truncator(record.response_id).chars(14)
        return format_html('<span class="rh-mono rh-once" title="{}">{}</span>', record.response_id, short)

    @display(description="Status")
    def shown_status(self, record: ResponseRecord) -> SafeString:
        """Return how the answer ended."""
        return badge(record.status, STATUS_BADGE[ResponseRecord.Status(record.status)])

    @display(description="Empty because")
    def shown_cause(self, record: ResponseRecord) -> SafeString | str:
        """Return the cause of an empty answer."""
        return badge(record.empty_cause, "warning") if record.empty_cause else "-"

    @display(description="Tokens in / out")
    def tokens(self, record: ResponseRecord) -> SafeString:
        """Return the counts that the engine gave."""
        return token_counts(record.input_tokens, record.output_tokens)

    @display(description="What to do")
    def advice(self, record: ResponseRecord) -> str:
        """Return what the cause means."""
        return ADVICE[Cause(record.empty_cause)] if record.empty_cause else "-"

    @display(description="Session")
    def session_link(self, record: ResponseRecord) -> SafeString | str:
        """Return a link to the session, if it is still there."""
        return link(Session.objects.filter(pk=record.session_id).first()) if record.session_id else "-"


class MovesInline(HistoryInline):
    """Where the session was pinned before."""

    model = SessionMove
    verbose_name_plural = "Moves between endpoints, newest first"
    fields = ("at", "old_endpoint", "new_endpoint", "reason")
    per_page = 20


@admin.register(Session)
class SessionAdmin(History):
    """Conversations and the endpoints that they are pinned to."""

    list_display = (
        "shown_last",
        "key",
        "profile",
        "caller",
        "pinned_to",
        "requests",
        "empties",
        "errors",
        "tokens",
        "moves",
    )
    list_display_links = ("shown_last", "key")
    list_filter = ("profile", EndpointFilter, "last_seen_at")
    search_fields = ("=key",)
    search_help_text = "A whole session key, as in the X-Session-ID header."
    fieldsets = (
        (None, {"fields": ("key", "profile", "caller", "pinned_to", "ledger_link")}),
        ("Counts", {"fields": ("requests", "empties", "errors", "input_tokens", "output_tokens", "moves")}),
        ("Time", {"fields": ("shown_first", "shown_last")}),
    )
    readonly_fields = ("pinned_to", "ledger_link", "shown_first", "shown_last")
    inlines = (MovesInline,)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Session]:
        """Return the rows with what their columns name, the endpoints' keys left in the database."""
        rows: models.QuerySet[Session] = super().get_queryset(request)
        endpoint = models.Prefetch("endpoint", queryset=Endpoint.objects.defer("api_key"))
        return rows.select_related("profile", "caller").prefetch_related(endpoint)

    @display(description="Tokens in / out")
    def tokens(self, session: Session) -> SafeString:
        """Return the sums over its answers."""
        return token_counts(session.input_tokens, session.output_tokens)

    @display(description="First seen (UTC)")
    def shown_first(self, session: Session) -> SafeString | str:
        """Return when it began."""
        return stamp(session.created_at)

    @display(description="Last seen (UTC)")
    def shown_last(self, session: Session) -> SafeString | str:
        """Return when its last request came."""
        return stamp(session.last_seen_at)

    @display(description="Endpoint")
    def pinned_to(self, session: Session) -> SafeString | str:
        """Return a link to the endpoint."""
        return link(session.endpoint)

    @display(description="Answers")
    def ledger_link(self, session: Session) -> SafeString:
        """Return a link to the session's rows of the ledger."""
        url = reverse("admin:responses_api_responserecord_changelist")
        return format_html('<a class="text-link" href="{}?session__id__exact={}">Show its answers</a>', url, session.pk)
