"""Admin pages for engines and their events."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from endpoints.admin import health_badge
from endpoints.admin_pages import History, Page, ago, badge, link, stamp
from endpoints.models import Endpoint
from launcher import advice, checks, logs, queries, services
from launcher.admin_logs import log_page
from launcher.forms import EngineForm
from launcher.log_answer import NoSuchAttemptError, log_answer
from launcher.models import LAUNCH_PERMISSION, PROCESS_FIELDS, Engine, EngineEvent
from launcher.states import MEANING, Desired, State

STATE_BADGE: dict[State, str] = {
    State.STOPPED: "",
    State.PENDING: "warning",
    State.STARTING: "info",
    State.READY: "success",
    State.UNHEALTHY: "warning",
    State.STOPPING: "info",
    State.FAILED: "danger",
}
EVENTS_SHOWN = 10


def state_badge(state: str) -> SafeString:
    """Return the state as a coloured label that explains itself when pointed at."""
    return badge(state, STATE_BADGE[State(state)], MEANING[State(state)])


@admin.register(Engine)
class EngineAdmin(Page):
    """vLLM engines. What is wanted is written by Start and Stop; what is, is shown."""

    empty_text = "An engine is a vLLM that Roundhouse runs for you: make one from a preset, or from scratch."
    form = EngineForm
    list_before_template = "admin/launcher/engine/from_preset.html"
    change_form_outer_before_template = "admin/launcher/engine/status.html"
    change_form_outer_after_template = "admin/launcher/engine/events.html"
    buttons = ("start", "stop", "restart", "stop_and_delete")
    actions = ("start_selected", "stop_selected")
    list_display = ("name", "shown_state", "wanted", "model", "endpoint_health", "since")
    list_filter = ("state", "desired_state", "device")
    search_fields = ("name", "model")
    filter_horizontal = ("profiles",)
    fieldsets = (
        (None, {"fields": ("name", "model", "profiles", "device")}),
        ("Process", {"fields": ("vllm_serve_kwargs", "vllm_serve_env_vars", "ray_worker_py_executable")}),
        ("Weights", {"fields": ("hf_home", "new_token", "clear_token")}),
        ("Log", {"fields": ("debug", "show_vllm_engine_stats")}),
        (
            "Start and stop",
            {"fields": ("restart_policy", "max_restarts", "startup_timeout_seconds", "drain_seconds")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Engine]:
        """Return the rows without the engines' keys, with their endpoints."""
        rows: models.QuerySet[Engine] = super().get_queryset(request)
        has_token = models.ExpressionWrapper(~models.Q(hf_token=""), output_field=models.BooleanField())
        return (
            rows.defer("api_key", "hf_token")
            .annotate(has_token=has_token)
            .prefetch_related(models.Prefetch("endpoint", queryset=Endpoint.objects.defer("api_key")))
        )

    def get_fieldsets(self, request: HttpRequest, obj: Engine | None = None) -> list[tuple[str | None, Any]]:
        """Return the form's parts: a token that is stored may be removed, and whoever may not write sees none."""
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        token = ("new_token", "clear_token") if getattr(obj, "has_token", False) else ("new_token",)
        weights = ("Weights", {"fields": ("hf_home", *(token if may_write else ()))})
        return [weights if part[0] == "Weights" else part for part in self.fieldsets]

    def get_readonly_fields(self, request: HttpRequest, obj: Engine | None = None) -> tuple[str, ...]:
        """Return the name of an engine that exists, after which its logs are named, and what takes a permission."""
        kept = () if request.user.has_perm(LAUNCH_PERMISSION) else PROCESS_FIELDS
        return kept if obj is None else ("name", *kept)

    def get_urls(self) -> list[Any]:
        """Return the page's URLs, those of logs first: the row's own URL would match them too."""
        return [
            path(
                "<path:object_id>/log/", self.admin_site.admin_view(self.show_live_log), name="launcher_engine_live_log"
            ),
            path(
                "<path:object_id>/log/<int:attempt>/",
                self.admin_site.admin_view(self.show_log),
                name="launcher_engine_log",
            ),
            *super().get_urls(),
        ]

    def show_live_log(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the log of the newest launch, and follow it over those that come."""
        return log_page(request, self._seen(request, object_id))

    def show_log(self, request: HttpRequest, object_id: str, attempt: int) -> Any:
        """Show the log of one launch as text: all of it, searched, followed or as a file, as the query string says."""
        try:
            return log_answer({**request.GET.dict(), "attempt": str(attempt)}, self._seen(request, object_id))
        except NoSuchAttemptError as error:
            raise Http404(str(error)) from None

    def _seen(self, request: HttpRequest, object_id: str) -> Engine:
        """Return the engine, to someone who may look at it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        engine: Engine | None = self.get_object(request, unquote(object_id))
        if engine is None:
            raise Http404
        return engine

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the list's actions without deletion, which asks each engine whether it is stopped."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the page with what the status panel and the list of events need."""
        extra = extra_context or {}
        engine = self.get_object(request, object_id) if object_id else None
        if engine is not None:
            extra |= {
                "state_badge": state_badge(engine.state),
                "next_step": advice.next_step(State(engine.state), Desired(engine.desired_state)),
                "can_start": engine.desired_state == Desired.STOPPED or engine.state == State.FAILED,
                "can_stop": engine.desired_state == Desired.RUNNING,
                "can_restart": services.can_restart(engine),
                "can_stop_and_delete": self._busy(engine) and self.has_delete_permission(request, engine),
                "needs_restart": queries.changed_since_launch(engine),
                "warnings": checks.warnings(engine),
                "attempts": logs.attempts(engine)[:EVENTS_SHOWN],
                "events": [
                    {"event": event, "old": state_badge(event.old), "new": state_badge(event.new)}
                    for event in engine.events.all()[:EVENTS_SHOWN]
                ],
            }
        return super().changeform_view(request, object_id, form_url, extra)

    def save_model(self, request: HttpRequest, obj: Any, form: "ModelForm[Any]", change: bool) -> None:
        """Save, and say when a change takes effect."""
        super().save_model(request, obj, form, change)
        if not change:
            messages.info(request, f"Engine {obj.name} is stopped. Press Start to launch it.")
        elif changed := queries.changed_since_launch(obj):
            messages.info(request, f"Engine {obj.name} is {obj.state}: Restart applies {', '.join(changed)}.")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the links to profiles, and let the endpoint of an engine that runs follow them."""
        before = list(form.instance.profiles.all())
        super().save_related(request, form, formsets, change)
        if "profiles" in form.changed_data:
            services.follow_links(form.instance, before)

    def response_post_save_add(self, request: HttpRequest, obj: Engine) -> HttpResponse:
        """Go on to the engine's page, where Start is."""
        return redirect("admin:launcher_engine_change", obj.pk)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Delete a stopped engine; of another one, say what to do first."""
        engine = self.get_object(request, object_id)
        if engine is not None and self._busy(engine) and self.has_delete_permission(request, engine):
            return self._refuse_deletion(request, engine)
        try:
            return super().delete_view(request, object_id, extra_context)
        except services.EngineBusyError:
            return self._refuse_deletion(request, engine)

    def delete_model(self, request: HttpRequest, obj: Engine) -> None:
        """Delete through the service, which takes the endpoint along."""
        services.delete(obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what the confirmation page shows. Events have no delete permission of their own: they go along."""
        engines = list(objs)
        events = EngineEvent.objects.filter(engine__in=engines).count()
        owned = [f"Endpoint {engine.endpoint}" for engine in engines if engine.endpoint]
        return [*map(str, engines), *owned], {"engine events": events} if events else {}, set(), []

    def press_start(self, request: HttpRequest, engine: Engine) -> None:
        """Want the engine to run."""
        try:
            changed = services.start(engine, by=request.user.get_username())
        except services.EngineConfigError as error:
            messages.error(request, f"Engine {engine.name} cannot be started. {error}")
            return
        if changed:
            self.log_change(request, engine, "Pressed Start.")
        said = "is wanted: it starts within seconds" if changed else "is wanted already; nothing changed"
        messages.success(request, f"Engine {engine.name} {said}.")

    def press_stop(self, request: HttpRequest, engine: Engine) -> None:
        """Want the engine to be stopped."""
        changed = services.stop(engine, by=request.user.get_username())
        if changed:
            self.log_change(request, engine, "Pressed Stop.")
        said = "is not wanted any more: it stops within seconds" if changed else "was not wanted; nothing changed"
        messages.success(request, f"Engine {engine.name} {said}.")

    def press_restart(self, request: HttpRequest, engine: Engine) -> None:
        """Want the launch that there is replaced by one with the settings of now."""
        try:
            changed = services.restart(engine, by=request.user.get_username())
        except services.EngineConfigError as error:
            messages.error(request, f"Engine {engine.name} cannot be restarted. {error}")
            return
        if changed:
            self.log_change(request, engine, "Pressed Restart.")
        said = "drains, stops and starts again" if changed else "is about to; nothing changed"
        messages.success(request, f"Engine {engine.name} {said}.")

    def press_stop_and_delete(self, request: HttpRequest, engine: Engine) -> None:
        """Want the engine to be stopped and then to be gone."""
        if not self.has_delete_permission(request, engine):
            raise PermissionDenied
        if services.stop_and_delete(engine, by=request.user.get_username()):
            self.log_change(request, engine, "Pressed Stop and delete.")
        messages.success(request, f"Engine {engine.name} stops, and is deleted once it is stopped.")

    @admin.action(description="Start the selected engines", permissions=["change"])
    def start_selected(self, request: HttpRequest, queryset: models.QuerySet[Engine]) -> None:
        """Want each of them to run."""
        self._wish(request, queryset, services.start, "start")

    @admin.action(description="Stop the selected engines", permissions=["change"])
    def stop_selected(self, request: HttpRequest, queryset: models.QuerySet[Engine]) -> None:
        """Want each of them to be stopped."""
        self._wish(request, queryset, services.stop, "stop")

    @display(description="State", ordering="state")
    def shown_state(self, engine: Engine) -> SafeString:
        """Return the badge, with the reason beside it."""
        said = engine.phase if engine.state == State.STARTING and engine.phase else engine.state_reason
        return format_html('{} <span class="rh-reason">{}</span>', state_badge(engine.state), said)

    @display(description="Wanted", ordering="desired_state")
    def wanted(self, engine: Engine) -> str:
        """Return the wish."""
        return engine.desired_state

    @display(description="Since", ordering="state_since")
    def since(self, engine: Engine) -> SafeString | str:
        """Return how long it has been in its state."""
        return ago(engine.state_since)

    @display(description="Endpoint")
    def endpoint_health(self, engine: Engine) -> SafeString | str:
        """Return the health of the endpoint that it owns."""
        if engine.endpoint is None:
            return "-"
        return format_html("{} {}", health_badge(engine.endpoint), link(engine.endpoint, "show"))

    def _wish(
        self, request: HttpRequest, queryset: models.QuerySet[Engine], service: Callable[..., bool], verb: str
    ) -> None:
        changed = 0
        for engine in queryset:
            try:
                changed += service(engine, by=request.user.get_username())
            except services.EngineConfigError as error:
                messages.error(request, f"Engine {engine.name} cannot be started. {error}")
        self.tell(request, queryset, changed, f"asked to {verb}")

    @staticmethod
    def _busy(engine: Engine) -> bool:
        return engine.state != State.STOPPED or engine.desired_state != Desired.STOPPED

    @staticmethod
    def _refuse_deletion(request: HttpRequest, engine: Engine) -> HttpResponse:
        messages.error(
            request,
            f"Engine {engine.name} is not stopped. Press Stop, wait until it is stopped, then delete it; "
            "or press Stop and delete.",
        )
        return redirect("admin:launcher_engine_change", engine.pk)


@admin.register(EngineEvent)
class EngineEventAdmin(History):
    """Every transition of every engine, newest first."""

    empty_text = "Whatever an engine goes through is written down here: add one, and press Start."
    list_display = ("shown_at", "engine_link", "shown_old", "shown_new", "reason", "generation")
    list_display_links = ("shown_at",)
    list_filter = ("new", "engine", "at")
    list_select_related = ("engine",)
    fields = ("shown_at", "engine_link", "shown_old", "shown_new", "reason", "generation", "shown_log")
    readonly_fields = ("shown_at", "engine_link", "shown_old", "shown_new", "shown_log")

    @display(description="When (UTC)")
    def shown_at(self, event: EngineEvent) -> SafeString | str:
        """Return when it happened."""
        return stamp(event.at)

    @display(description="Engine")
    def engine_link(self, event: EngineEvent) -> SafeString | str:
        """Return a link to the engine."""
        return link(event.engine)

    @display(description="From")
    def shown_old(self, event: EngineEvent) -> SafeString:
        """Return the state before."""
        return state_badge(event.old)

    @display(description="To")
    def shown_new(self, event: EngineEvent) -> SafeString:
        """Return the state after."""
        return state_badge(event.new)

    @display(description="Last log lines")
    def shown_log(self, event: EngineEvent) -> SafeString | str:
        """Return the log lines that were kept with the event."""
        return format_html('<pre class="rh-code">{}</pre>', event.log_tail) if event.log_tail else "-"
