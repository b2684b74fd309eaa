"""Who opens a WebSocket of the admin: the page that holds it, and the person in whose name it asks.

A browser sends the session's cookie along with a WebSocket that any page opens, and asks nobody before it does. So the
page that opens it has to be one of ours: its origin is held against the address that was called, as Django does it for
forms.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

VIEW = ("launcher.view_engine", "launcher.change_engine")


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of an upgrade."""
    return {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}


def is_our_page(headers: Mapping[str, str]) -> bool:
    """Return whether the page was served under the address that it calls, or by a site that is trusted."""
    host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
    page = urlsplit(origin)
    if not page.netloc or page.scheme not in {"http", "https"}:
        return False
    if page.netloc == host and validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        return True
    return any(_is_trusted(page.scheme, page.netloc, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def may_watch(headers: Mapping[str, str]) -> bool:
    """Return whether whoever sends these cookies is signed in to the admin and may look at engines."""
    request: Any = HttpRequest()
    key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    return bool(user.is_active and user.is_staff and any(map(user.has_perm, VIEW)))


def _is_trusted(scheme: str, netloc: str, trusted: str) -> bool:
    known = urlsplit(trusted.lower())
    return scheme == known.scheme and is_same_domain(netloc, known.netloc.removeprefix("*"))
