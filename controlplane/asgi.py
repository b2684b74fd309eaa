"""The ASGI application: /v1/* goes to the gateway's consumers, everything else to Django."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import re_path

from controlplane.crowd import Crowd

django_application = Crowd(ASGIStaticFilesHandler(get_asgi_application()))

from launcher.routing import websocket_urlpatterns as pages  # noqa: E402  (its models need the line above)
from responses_api.consumers.lifespan import lifespan  # noqa: E402  (its models need the line above)
from responses_api.routing import busiest, http_urlpatterns, websocket_urlpatterns  # noqa: E402


async def refuse_websocket(_scope: Any, receive: Any, send: Any) -> None:
    """Close a WebSocket before it opens, which servers answer with 403: nothing at its path speaks it."""
    await receive()
    await send({"type": "websocket.close"})


_any_path = URLRouter(
    [
        *http_urlpatterns,
        re_path(r"", django_application),  # type: ignore[arg-type]  # Channels routes to applications, not views
    ]
)


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Serve an HTTP request."""
    await (busiest.get(scope["path"]) or _any_path)(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": http,
        "lifespan": lifespan,
        "websocket": URLRouter(
            [
                *websocket_urlpatterns,
                *pages,
                re_path(r"", refuse_websocket),  # type: ignore[arg-type]  # the same
            ]
        ),
    }
)
