"""The admin's page of presets: what there is, what it would take here, and a form that makes it."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from launcher import from_preset, ray_cluster
from launcher.cluster import ClusterUnreachableError
from launcher.forms import PresetForm
from launcher.from_preset import PresetError
from launcher.models import Engine
from launcher.presets import PRESETS

NEEDED = ("launcher.add_engine", "endpoints.add_configprofile")


def presets_page(request: HttpRequest) -> HttpResponse:
    """Show the presets, and the form of the one that is chosen.

    A POST makes it, and goes on to the engine's page, where Start is.
    """
    if not request.user.has_perms(NEEDED):
        raise PermissionDenied
    chosen = request.GET.get("preset", "")
    form = PresetForm(initial={"preset": chosen, "name": chosen}) if chosen in PRESETS else None
    if request.method == "POST":
        form = PresetForm(request.POST)
        try:
            if form.is_valid() and (engine := _made(request, form)) is not None:
                messages.success(request, f"Engine {engine.name} and its profile are made. Press Start to launch it.")
                return redirect("admin:launcher_engine_change", engine.pk)
        except ClusterUnreachableError as error:
            messages.error(request, f"Nothing was made. {error}")
            return redirect("presets")
    return _page(request, form)


def _made(request: HttpRequest, form: PresetForm) -> Engine | None:
    """Return the engine that the form asks for; None if the form says what to change."""
    asked = form.cleaned_data
    try:
        return from_preset.create(
            asked["preset"],
            ray_cluster.from_settings(),
            by=request.user.get_username(),
            name=asked["name"],
            profile_name=asked["profile"],
        )
    except PresetError as error:
        form.add_error(None if error.field == "preset" else error.field, str(error))
        return None


def _page(request: HttpRequest, form: PresetForm | None) -> HttpResponse:
    offers, trouble = from_preset.offers(ray_cluster.from_settings())
    preset = str(form["preset"].value() or "") if form is not None else ""
    context = {
        **admin.site.each_context(request),
        "title": "Create from preset",
        "offers": offers,
        "chosen": next((offer for offer in offers if offer.name == preset), None),
        "form": form,
        "trouble": trouble,
    }
    return TemplateResponse(request, "admin/launcher/presets.html", context)
