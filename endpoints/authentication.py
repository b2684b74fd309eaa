"""Who may use the control API: API keys with the control scope, and staff signed in to the admin."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from endpoints import keys
from endpoints.models import ApiKey

if TYPE_CHECKING:  # it reads the settings that name this module
    from rest_framework.views import APIView

VERBS = {"POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}
BEARER_PARTS = 2


class ControlKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <API key>`; the key's row becomes `request.auth`."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """Return no user and the key, or None if the request carries no bearer token.

        Raises:
            AuthenticationFailed: if the key is unknown, disabled or expired (401).
            PermissionDenied: if the key is good, but not for the control API (403).
        """
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != BEARER_PARTS:
            raise AuthenticationFailed("Send the API key as: Authorization: Bearer <API key>")
        key = ApiKey.objects.filter(digest=keys.digest(parts[1].decode("latin-1"))).first()
        if key is None or not key.enabled:
            raise AuthenticationFailed("This API key is unknown or disabled.")
        if key.expires_at is not None and key.expires_at <= timezone.now():
            raise AuthenticationFailed("This API key has expired.")
        if not key.scope_control:
            raise PermissionDenied("This API key has no control scope: it may call /v1/, not /api/v1/.")
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes DRF answer 401, not 403, to whoever shows nothing."""
        return 'Bearer realm="Roundhouse control API"'


class ControlKeyScheme(OpenApiAuthenticationExtension):
    """Names the key in the OpenAPI document."""

    target_class = "endpoints.authentication.ControlKeyAuthentication"
    name = "controlKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the security scheme of a bearer key."""
        return {"type": "http", "scheme": "bearer", "description": "An API key with the control scope."}


class IsOperator(BasePermission):
    """A control key may do everything; staff may do here what their permissions let them do in the admin."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Return whether the call may go on. `view.required_verb` overrides what the HTTP method asks for."""
        if isinstance(request.auth, ApiKey):
            return True
        user = request.user
        if not (user.is_active and user.is_staff):
            return False
        queryset = getattr(view, "queryset", None)
        if queryset is None:
            return request.method in SAFE_METHODS
        verb = getattr(view, "required_verb", None) or VERBS.get(request.method or "", "view")
        options = queryset.model._meta
        # Who may change a thing may look at it, as in the admin.
        wanted = ["view", "change"] if verb == "view" else [verb]
        return any(user.has_perm(f"{options.app_label}.{verb}_{options.model_name}") for verb in wanted)


def may_issue_control_keys(request: Any) -> bool:
    """Return whether whoever calls may make keys for the control API, which may do everything. Takes requests of DRF
    and of Django.
    """
    return isinstance(getattr(request, "auth", None), ApiKey) or request.user.has_perm("endpoints.issue_control_keys")


def caller_name(request: Request) -> str:
    """Return who calls, for the record: the API key's name or the user's."""
    return f"API key {request.auth.name}" if isinstance(request.auth, ApiKey) else request.user.get_username()
