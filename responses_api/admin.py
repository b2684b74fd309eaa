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
from responses_api.models import ResponseRecord, Session, SessionMove, StoredResponse
from responses_api.templatetags.figures import duration, grouped
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


def short_id(response_id: str) -> SafeString:
    """Return the beginning of an id, with all of it for whoever points at it."""
    short = Truncator(response_id).chars(14)
    return format_html('<span class="rh-mono rh-once" title="{}">{}</span>', response_id, short)


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

    empty_text = "Every request of a known key for a known model leaves a row here, before its answer leaves."
    list_display = (
        *("shown_at", "shown_id", "shown_model", "endpoint", "shown_status", "shown_cause", "tokens", "took"),
    )
    list_display_links = ("shown_at", "shown_id")
    list_filter = (ProfileFilter, EmptyFilter, "status", "api", "created_at")
    search_fields = ("=response_id",)
    search_help_text = "A whole response id."
    fieldsets = (
        (None, {"fields": ("response_id", "shown_at", "shown_api", "shown_model", "endpoint", "caller")}),
        ("Session", {"fields": ("session_link",)}),
        (
            "Outcome",
            {
                "fields": (
                    "shown_status",
                    "shown_http",
                    "shown_cause",
                    "shown_shortage",
                    "advice",
                    "error_code",
                    "detail",
                    "finish_reason",
                    "attempts",
                )
            },
        ),
        ("Tokens", {"fields": ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")}),
        ("Time", {"fields": ("took", "engine_took")}),
    )
    readonly_fields = (
        *("shown_at", "shown_api", "shown_model", "endpoint", "caller", "session_link", "shown_status", "shown_http"),
        *("shown_cause", "shown_shortage", "advice", "took", "engine_took"),
    )

    @display(description="When (UTC)")
    def shown_at(self, record: ResponseRecord) -> SafeString | str:
        """Return when the answer left."""
        return stamp(record.created_at)

    @display(description="Response id")
    def shown_id(self, record: ResponseRecord) -> SafeString:
        """Return the beginning of the id; all of it is on the row's page."""
        return short_id(record.response_id)

    @display(description="API")
    def shown_api(self, record: ResponseRecord) -> str:
        """Return which API was called."""
        return record.api

    @display(description="Model")
    def shown_model(self, record: ResponseRecord) -> str:
        """Return the profile that was asked for."""
        return record.profile_name

    @display(description="Endpoint")
    def endpoint(self, record: ResponseRecord) -> str:
        """Return the endpoint that answered, or failed last."""
        return record.endpoint_name or "-"

    @display(description="API key")
    def caller(self, record: ResponseRecord) -> str:
        """Return the name of the key."""
        return record.caller_name

    @display(description="HTTP status")
    def shown_http(self, record: ResponseRecord) -> int:
        """Return the status that the caller got."""
        return record.http_status

    @display(description="Took")
    def took(self, record: ResponseRecord) -> SafeString:
        """Return how long the request took."""
        return format_html('<span class="rh-once">{}</span>', duration(record.duration_ms))

    @display(description="Of that, the engine")
    def engine_took(self, record: ResponseRecord) -> str:
        """Return how long the engine took of it."""
        return duration(record.engine_ms)

    @display(description="Status")
    def shown_status(self, record: ResponseRecord) -> SafeString:
        """Return how the answer ended."""
        return badge(record.status, STATUS_BADGE[ResponseRecord.Status(record.status)])

    @display(description="Empty because")
    def shown_cause(self, record: ResponseRecord) -> SafeString | str:
        """Return the cause of an empty answer."""
        return badge(record.empty_cause, "warning") if record.empty_cause else "-"

    @display(description="What did not fit")
    def shown_shortage(self, record: ResponseRecord) -> str:
        """Return how much a prompt was too long."""
        return record.shortage or "-"

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


STORED_BADGE = {
    StoredResponse.Status.COMPLETED: "success",
    StoredResponse.Status.INCOMPLETE: "warning",
    StoredResponse.Status.FAILED: "danger",
    StoredResponse.Status.CANCELLED: "warning",
}


@admin.register(StoredResponse)
class StoredResponseAdmin(History):
    """Responses that can be fetched and continued. What was said in them is their caller's, and is not shown."""

    empty_text = "A response is kept here unless the request says store: false. Its caller can fetch and continue it."
    list_display = ("shown_at", "shown_id", "shown_model", "caller", "shown_status", "where", "shown_end")
    list_display_links = ("shown_at", "shown_id")
    list_filter = (ProfileFilter, "status", "background", "created_at")
    search_fields = ("=response_id",)
    search_help_text = "A whole response id."
    fields = (
        *("response_id", "shown_at", "shown_end", "shown_model", "caller", "session_key", "shown_status"),
        *("previous_response_id", "conversation_id", "where"),
    )
    readonly_fields = ("shown_at", "shown_end", "shown_model", "caller", "shown_status", "where")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[StoredResponse]:
        """Return the rows without what was said in them."""
        rows: models.QuerySet[StoredResponse] = super().get_queryset(request)
        return rows.defer("body", "input", "events")

    @display(description="Model")
    def shown_model(self, row: StoredResponse) -> str:
        """Return the profile that was asked for."""
        return row.profile_name

    @display(description="API key")
    def caller(self, row: StoredResponse) -> str:
        """Return the name of the key that made it."""
        return row.caller_name

    @display(description="Made")
    def where(self, row: StoredResponse) -> str:
        """Return whether anybody waited for it."""
        return "in the background" if row.background else "at once"

    @display(description="When (UTC)")
    def shown_at(self, row: StoredResponse) -> SafeString | str:
        """Return when the request came."""
        return stamp(row.created_at)

    @display(description="Response id")
    def shown_id(self, row: StoredResponse) -> SafeString:
        """Return the beginning of the id; all of it is on the row's page."""
        return short_id(row.response_id)

    @display(description="Status")
    def shown_status(self, row: StoredResponse) -> SafeString:
        """Return where it stands."""
        return badge(row.status, STORED_BADGE.get(StoredResponse.Status(row.status), "info"))

    @display(description="Kept until (UTC)")
    def shown_end(self, row: StoredResponse) -> SafeString | str:
        """Return when it will be deleted."""
        return stamp(row.expires_at)


class MovesInline(HistoryInline):
    """Where the session was pinned before."""

    model = SessionMove
    verbose_name_plural = "Moves between endpoints, newest first"
    fields = ("at", "old_endpoint", "new_endpoint", "reason")
    per_page = 20


@admin.register(Session)
class SessionAdmin(History):
    """Conversations and the endpoints that they are pinned to."""

    empty_text = "A session begins with the first request of a conversation, and keeps it on one engine."
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
