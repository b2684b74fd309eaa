"""The ASGI application: /v1/* goes to the gateway's consumers, everything else to Django."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import re_path

django_application = ASGIStaticFilesHandler(get_asgi_application())

from responses_api.consumers import lifespan  # noqa: E402  (its models need the line above)
from responses_api.routing import http_urlpatterns  # noqa: E402


async def refuse_websocket(_scope: Any, receive: Any, send: Any) -> None:
    """Close a WebSocket before it opens, which servers answer with 403: nothing here speaks it yet."""
    await receive()
    await send({"type": "websocket.close"})


application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                *http_urlpatterns,
                re_path(r"", django_application),  # type: ignore[arg-type]  # Channels routes to applications, not views
            ]
        ),
        "lifespan": lifespan,
        "websocket": refuse_websocket,
    }
)
