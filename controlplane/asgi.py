"""The ASGI application: /v1/* goes to the gateway's consumers, everything else to Django."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import re_path

django_application = ASGIStaticFilesHandler(get_asgi_application())

from responses_api.consumers import lifespan  # noqa: E402  (its models need the line above)
from responses_api.routing import http_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                *http_urlpatterns,
                re_path(r"", django_application),  # type: ignore[arg-type]  # Channels routes to applications, not views
            ]
        ),
        "lifespan": lifespan,
    }
)
