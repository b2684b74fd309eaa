"""The control API: every app's view sets under /api/v1/, its OpenAPI document and its browsable page."""

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.exceptions import NotAuthenticated, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView

from endpoints.api import ApiKeyViewSet, EndpointViewSet, ProfileViewSet
from endpoints.authentication import IsOperator
from launcher.api import ClusterViewSet, EngineViewSet, PresetViewSet
from responses_api.monitor.api import UsageViewSet

router = DefaultRouter()
# Names hold dots: profiles/qwen-2.5/ is a profile, not the format "5".
router.include_format_suffixes = False
router.register("engines", EngineViewSet, basename="engine")
router.register("presets", PresetViewSet, basename="preset")
router.register("cluster", ClusterViewSet, basename="cluster")
router.register("endpoints", EndpointViewSet, basename="endpoint")
router.register("profiles", ProfileViewSet, basename="profile")
router.register("api-keys", ApiKeyViewSet, basename="api-key")
router.register("usage", UsageViewSet, basename="usage")


class NowhereView(APIView):
    """What is under /api/v1/ and no view: a JSON 404, where Django would redirect a POST and lose its body."""

    schema = None

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Answer every method alike.

        Raises:
            NotFound: always, with the likely cause.
        """
        hint = "" if request.path.endswith("/") else f" Paths end in a slash: {request.path}/"
        raise NotFound(f"There is nothing at {request.path}.{hint}")


class SignInMixin:
    """Shown to operators; a browser that is not signed in is sent to the admin's login instead of a 401."""

    permission_classes = (IsOperator,)

    def handle_exception(self, exc: Exception) -> HttpResponseBase:
        """Redirect a browser; answer 401 to a script."""
        request: Request = self.request  # type: ignore[attr-defined]  # every view that this is mixed into has one
        if isinstance(exc, NotAuthenticated) and "text/html" in request.headers.get("accept", ""):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return super().handle_exception(exc)  # type: ignore[misc, no-any-return]  # as above


class SchemaView(SignInMixin, SpectacularAPIView):
    """The OpenAPI document."""


class DocsView(SignInMixin, SpectacularSwaggerView):
    """The browsable page, served from the package's own files: no other host is asked for anything."""
