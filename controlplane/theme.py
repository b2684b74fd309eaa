"""How the admin looks and what its navigation shows (django-unfold)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may_view(model: str) -> Callable[[HttpRequest], bool]:
    app, _, name = model.partition(".")

    def allowed(request: HttpRequest) -> bool:
        user = request.user
        return user.has_perm(f"{app}.view_{name}") or user.has_perm(f"{app}.change_{name}")

    return allowed


def _link(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(view)}


def _rows(title: str, icon: str, model: str) -> dict[str, Any]:
    """Return a link to a model's list, for those who may see it."""
    view = f"admin:{model.replace('.', '_')}_changelist"
    return _link(title, icon, view) | {"permission": _may_view(model)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Roundhouse",
    "SITE_HEADER": "Roundhouse",
    "SITE_SUBHEADER": "Control plane for vLLM engines",
    "SITE_SYMBOL": "train",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("controlplane/favicon.svg"),
        }
    ],
    "STYLES": [lambda _request: static("controlplane/surfaces.css")],
    "SCRIPTS": [lambda _request: static("controlplane/access.js")],
    "DASHBOARD_CALLBACK": "controlplane.overview.overview",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Run",
                "items": [
                    _link("Overview", "dashboard", "admin:index"),
                    _rows("Engines", "memory", "launcher.engine"),
                    _link("Cluster", "hub", "cluster") | {"permission": _may_view("launcher.engine")},
                    _rows("Endpoints", "lan", "endpoints.endpoint"),
                    _rows("Config profiles", "tune", "endpoints.configprofile"),
                ],
            },
            {
                "title": "Watch",
                "separator": True,
                "items": [
                    _link("Usage", "bar_chart", "monitor:usage"),
                    _link("Empty responses", "speaker_notes_off", "monitor:empty-responses"),
                    _rows("Responses", "receipt_long", "responses_api.responserecord"),
                    _rows("Sessions", "link", "responses_api.session"),
                    _rows("Stored responses", "inventory_2", "responses_api.storedresponse"),
                    _rows("Engine events", "history", "launcher.engineevent"),
                ],
            },
            {
                "title": "Access",
                "separator": True,
                "items": [
                    _rows("API keys", "key", "endpoints.apikey"),
                    _rows("Users", "person", "auth.user"),
                    _rows("Groups", "group", "auth.group"),
                    _link("Control API", "api", "api-docs"),
                ],
            },
        ],
    },
}
