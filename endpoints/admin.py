"""Admin pages for endpoints, config profiles and API keys."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from endpoints import services
from endpoints.admin_pages import CountedDeletion, Page, badge, link, stamp
from endpoints.authentication import may_issue_control_keys
from endpoints.forms import EndpointForm
from endpoints.models import ApiKey, ConfigProfile, Endpoint

HEALTH_BADGE = {
    Endpoint.Health.HEALTHY: "success",
    Endpoint.Health.UNHEALTHY: "danger",
    Endpoint.Health.UNKNOWN: "",
}


def health_badge(endpoint: Endpoint) -> SafeString:
    """Return the endpoint's health as a coloured label."""
    return badge(endpoint.health, HEALTH_BADGE[Endpoint.Health(endpoint.health)], endpoint.health_reason)


class Pausing:
    """Two actions for rows that requests wait for while they are paused."""

    @admin.action(description="Pause: let requests wait", permissions=["change"])
    def pause(self: Any, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Let the requests of the selected rows wait."""
        rows = self.model.objects.filter(pk__in=[row.pk for row in queryset])
        self.tell(request, rows, services.pause(rows), "paused")

    @admin.action(description="Resume: let requests go on", permissions=["change"])
    def resume(self: Any, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Let the requests of the selected rows go on."""
        rows = self.model.objects.filter(pk__in=[row.pk for row in queryset])
        self.tell(request, rows, services.resume(rows), "resumed")


@admin.register(Endpoint)
class EndpointAdmin(Pausing, CountedDeletion, Page):
    """Where engines are reached: registered here, or owned by an engine."""

    form = EndpointForm
    change_form_outer_before_template = "admin/endpoints/endpoint/status.html"
    empty_text = (
        "An endpoint is where an engine is reached. A ready engine makes its own; register a server that runs already."
    )
    list_display = ("name", "shown_health", "traffic", "shown_url", "shown_profiles", "owner")
    list_filter = ("health", "enabled", "draining", "profiles")
    search_fields = ("name", "base_url")
    actions = ("enable", "disable", "drain", "undrain", "pause", "resume")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Endpoint]:
        """Return the rows without their keys: no page shows one, and one that cannot be read breaks no page."""
        rows: models.QuerySet[Endpoint] = super().get_queryset(request)
        has_key = models.ExpressionWrapper(~models.Q(api_key=""), output_field=models.BooleanField())
        return rows.defer("api_key").annotate(has_key=has_key).select_related("engine").prefetch_related("profiles")

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> list[tuple[str | None, Any]]:
        """Return the form's parts. An engine that owns the endpoint writes its address and key itself."""
        switches = (
            "Traffic",
            {"fields": ("enabled", "draining", "paused", "weight", ("max_concurrent", "max_queued"))},
        )
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if not may_write or (obj is not None and hasattr(obj, "engine")):
            return [(None, {"fields": ("name", "base_url")}), switches]
        key = ("new_key", "clear_key") if getattr(obj, "has_key", False) else ("new_key",)
        return [(None, {"fields": ("name", "base_url", *key)}), switches]

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        """Return what the owning engine sets."""
        return ("name", "base_url") if obj is not None and hasattr(obj, "engine") else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False for an endpoint that its engine would only make again: it goes with the engine."""
        owned = isinstance(obj, Endpoint) and hasattr(obj, "engine")
        return not owned and bool(super().has_delete_permission(request, obj))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what the confirmation page shows; endpoints of engines are protected there, with the owner named."""
        shown, counts, missing, _ = super().get_deleted_objects(objs, request)
        owned = [
            f"{each} belongs to engine {each.engine}, and goes with it" for each in objs if hasattr(each, "engine")
        ]
        return shown, counts, missing, owned

    @display(description="Health", ordering="health")
    def shown_health(self, endpoint: Endpoint) -> SafeString:
        """Return the badge with the reason beside it."""
        return format_html('{} <span class="rh-reason">{}</span>', health_badge(endpoint), endpoint.health_reason)

    @display(description="Traffic", ordering="enabled")
    def traffic(self, endpoint: Endpoint) -> SafeString:
        """Return what the two switches let through."""
        if not endpoint.enabled:
            return badge("off", "", "Gets no requests at all.")
        if endpoint.paused:
            return badge("paused", "warning", "Requests wait.")
        if endpoint.circuit_cause:
            return badge("circuit open", "danger", endpoint.circuit_reason)
        return badge("draining", "warning", "Gets no new sessions.") if endpoint.draining else badge("on", "success")

    @display(description="Base URL", ordering="base_url")
    def shown_url(self, endpoint: Endpoint) -> str:
        """Return the address."""
        return endpoint.base_url

    @display(description="Profiles")
    def shown_profiles(self, endpoint: Endpoint) -> str:
        """Return the names of the profiles whose pool it is in."""
        return ", ".join(profile.name for profile in endpoint.profiles.all()) or "-"

    @display(description="Owned by")
    def owner(self, endpoint: Endpoint) -> SafeString | str:
        """Return a link to the engine that owns the endpoint."""
        return link(endpoint.engine) if hasattr(endpoint, "engine") else "-"

    @admin.action(description="Enable: let requests in", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: models.QuerySet[Endpoint]) -> None:
        """Switch the selected endpoints on."""
        self._switch(request, queryset, "enabled", value=True, what="enabled")

    @admin.action(description="Disable: no requests at all", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: models.QuerySet[Endpoint]) -> None:
        """Switch the selected endpoints off."""
        self._switch(request, queryset, "enabled", value=False, what="disabled")

    @admin.action(description="Drain: keep sessions, take no new ones", permissions=["change"])
    def drain(self, request: HttpRequest, queryset: models.QuerySet[Endpoint]) -> None:
        """Give the selected endpoints no new sessions."""
        self._switch(request, queryset, "draining", value=True, what="set to drain")

    @admin.action(description="Stop draining: take new sessions again", permissions=["change"])
    def undrain(self, request: HttpRequest, queryset: models.QuerySet[Endpoint]) -> None:
        """Give the selected endpoints new sessions again."""
        self._switch(request, queryset, "draining", value=False, what="taken out of draining")

    def _switch(
        self, request: HttpRequest, queryset: models.QuerySet[Endpoint], column: str, *, value: bool, what: str
    ) -> None:
        rows = Endpoint.objects.filter(pk__in=[row.pk for row in queryset])
        changed = rows.exclude(**{column: value}).update(**{column: value, "updated_at": timezone.now()})
        self.tell(request, rows, changed, what)


@admin.register(ConfigProfile)
class ConfigProfileAdmin(Pausing, CountedDeletion, Page):
    """Served model names and their request-time settings."""

    actions = ("pause", "resume")

    empty_text = "A profile is what clients send as model, with the endpoints that answer for it."
    list_display = ("name", "description", "enabled", "pool", "engine_model")
    list_filter = ("enabled",)
    search_fields = ("name", "description", "upstream_model")
    filter_horizontal = ("endpoints",)
    fieldsets = (
        (None, {"fields": ("name", "description", "enabled", "upstream_model")}),
        ("Pool", {"fields": ("endpoints", "balancing")}),
        (
            "The engine's API",
            {"fields": ("is_responses_native", "use_completions_api", "render_chat_template")},
        ),
        (
            "Reasoning",
            {
                "fields": (
                    "uses_reasoning_parser",
                    ("think_start_tag", "think_end_tag"),
                    "begins_in_thought",
                    "uses_interleaved_reasoning",
                    "preserve_reasoning_in_assistant_content",
                    "sequential_reasoning_allowed",
                    "reasoning_shown_as",
                ),
            },
        ),
        (
            "Requests and answers",
            {
                "fields": (
                    "replace_developer_role_with_system",
                    "unrunnable_tools",
                    "context_overflow",
                    "length_is_completed",
                    "return_token_id_information",
                    "request_prompt_and_generation_token_ids",
                    "audio_root",
                    "remote_media_allowed",
                ),
            },
        ),
        (
            "Request body",
            {
                "fields": (
                    "chat_template_kwargs",
                    "extra_body",
                    "sampling_overrides",
                    "default_headers",
                ),
                "description": "What wins, strongest first: sampling overrides, the request itself, extra body.",
            },
        ),
        (
            "Patience",
            {
                "fields": (
                    "paused",
                    ("request_timeout_seconds", "connect_timeout_seconds"),
                    ("first_byte_timeout_seconds", "idle_timeout_seconds"),
                    ("hold_seconds", "max_attempts"),
                ),
                "description": "How long to wait for engines, and what for. All times are seconds.",
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ConfigProfile]:
        """Return the rows with their pools, the endpoints' keys left in the database."""
        rows: models.QuerySet[ConfigProfile] = super().get_queryset(request)
        return rows.prefetch_related(models.Prefetch("endpoints", queryset=Endpoint.objects.defer("api_key")))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer endpoints without reading their keys."""
        if db_field.name == "endpoints":
            kwargs["queryset"] = Endpoint.objects.defer("api_key")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: "forms.ModelForm[ConfigProfile]", *rest: Any) -> None:
        """Save the pool, and say so if it is empty."""
        super().save_related(request, form, *rest)
        if not form.instance.endpoints.exists():
            messages.warning(
                request,
                f"The pool of {form.instance.name} is empty: its requests are refused until an endpoint is in it. "
                "Choose one here, or name this profile on an engine, whose endpoint joins when it is ready.",
            )

    @display(description="Pool")
    def pool(self, profile: ConfigProfile) -> SafeString | str:
        """Return how many endpoints of the pool are healthy."""
        endpoints = profile.endpoints.all()
        if not endpoints:
            return badge("empty", "warning")
        healthy = sum(endpoint.health == Endpoint.Health.HEALTHY and endpoint.enabled for endpoint in endpoints)
        kind = "danger" if healthy == 0 else "success" if healthy == len(endpoints) else "warning"
        return badge(f"{healthy} of {len(endpoints)} healthy", kind, ", ".join(each.name for each in endpoints))

    @display(description="Model name at the engine")
    def engine_model(self, profile: ConfigProfile) -> str:
        """Return the model name that is sent on."""
        return profile.engine_model


@admin.register(ApiKey)
class ApiKeyAdmin(CountedDeletion, Page):
    """Who may call. A key is shown once, when it is made or renewed."""

    change_form_outer_before_template = "admin/endpoints/apikey/status.html"
    buttons = ("renew",)
    empty_text = "Whoever calls the gateway or the control API needs a key."
    list_display = ("name", "shown_key", "scopes", "enabled", "shown_end", "shown_at")
    list_filter = ("enabled", "scope_gateway", "scope_control")
    search_fields = ("name", "shown")
    filter_horizontal = ("profiles",)
    fields = (
        "name",
        "scope_gateway",
        "scope_control",
        "profiles",
        "enabled",
        "expires_at",
        "requests_per_minute",
        "max_concurrent",
    )

    ONCE: ClassVar[str] = "Copy it now, it cannot be shown again:"

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Return what this user may not set: who makes control keys may do everything."""
        return () if may_issue_control_keys(request) else ("scope_control",)

    def save_model(self, request: HttpRequest, obj: Any, form: "forms.ModelForm[Any]", change: bool) -> None:
        """Save; a new row gets its key, which is shown once."""
        if not change:
            plain = obj.renew()
        super().save_model(request, obj, form, change)
        if not change:
            self._show(request, f"The key of {obj.name} is ready.", plain)

    def press_renew(self, request: HttpRequest, key: ApiKey) -> None:
        """Replace the key by a fresh one and show it once."""
        if key.scope_control and not may_issue_control_keys(request):
            raise PermissionDenied
        plain = key.renew()
        key.save(update_fields=["digest", "shown"])
        self.log_change(request, key, "Renewed the key.")
        self._show(request, f"{key.name} has a new key; the old one is refused from now on.", plain)

    def _show(self, request: HttpRequest, said: str, plain: str) -> None:
        messages.success(request, format_html('{} {} <code class="rh-key">{}</code>', said, self.ONCE, plain))

    @display(description="Expires (UTC)", ordering="expires_at")
    def shown_end(self, key: ApiKey) -> SafeString | str:
        """Return when it ends."""
        return stamp(key.expires_at)

    @display(description="Created (UTC)", ordering="created_at")
    def shown_at(self, key: ApiKey) -> SafeString | str:
        """Return when it was made."""
        return stamp(key.created_at)

    @display(description="Key")
    def shown_key(self, key: ApiKey) -> SafeString:
        """Return the beginning of the key."""
        return format_html('<code class="rh-mono">{}</code>', key.shown)

    @display(description="Scopes")
    def scopes(self, key: ApiKey) -> SafeString:
        """Return a label for each thing the key may call."""
        labels = [badge("gateway", "info")] * key.scope_gateway + [badge("control", "warning")] * key.scope_control
        return format_html("{} {}", *labels, *[""] * (2 - len(labels)))
