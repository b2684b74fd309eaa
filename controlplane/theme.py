"""How the admin looks and what its navigation shows (django-unfold)."""

from typing import Any

from django.urls import reverse_lazy


def _link(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(view)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Roundhouse",
    "SITE_HEADER": "Roundhouse",
    "SITE_SUBHEADER": "Control plane for vLLM engines",
    "SITE_SYMBOL": "train",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Run",
                "items": [
                    _link("Overview", "dashboard", "admin:index"),
                    _link("Engines", "memory", "admin:launcher_engine_changelist"),
                    _link("Endpoints", "lan", "admin:endpoints_endpoint_changelist"),
                    _link("Config profiles", "tune", "admin:endpoints_configprofile_changelist"),
                ],
            },
            {
                "title": "Watch",
                "separator": True,
                "items": [
                    _link("Empty responses", "speaker_notes_off", "monitor:empty-responses"),
                    _link("Responses", "receipt_long", "admin:responses_api_responserecord_changelist"),
                    _link("Sessions", "link", "admin:responses_api_session_changelist"),
                    _link("Engine events", "history", "admin:launcher_engineevent_changelist"),
                ],
            },
            {
                "title": "Access",
                "separator": True,
                "items": [
                    _link("API keys", "key", "admin:endpoints_apikey_changelist"),
                    _link("Users", "person", "admin:auth_user_changelist"),
                    _link("Control API", "api", "api-docs"),
                ],
            },
        ],
    },
}
