"""What Django's pages and the control API say while the database does not answer: so, and when to ask again."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

RETRY_SECONDS = 5
SAID = "Roundhouse's database does not answer now."


def handler500(request: HttpRequest) -> HttpResponseBase:
    """Return a 503 if the database is away; Django's own answer to any other error."""
    if not isinstance(sys.exception(), OperationalError | InterfaceError):
        return server_error(request)
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": SAID}, status=503, headers=headers)
    return HttpResponse(render_to_string("503.html"), status=503, headers=headers)
