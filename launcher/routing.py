"""Which WebSockets the admin's pages open."""

from django.urls import re_path

from launcher.consumers import log_socket

websocket_urlpatterns = [
    re_path(r"^admin/launcher/engine/(?P<engine_id>\d{1,18})/log/tail/$", log_socket),  # type: ignore[arg-type]  # ASGI
]
