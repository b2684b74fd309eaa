"""The control API's router: every app's view sets under /api/v1/."""

from rest_framework.routers import DefaultRouter

from endpoints.api import EndpointViewSet, ProfileViewSet
from launcher.api import EngineViewSet

router = DefaultRouter()
router.register("endpoints", EndpointViewSet, basename="endpoint")
router.register("profiles", ProfileViewSet, basename="profile")
router.register("engines", EngineViewSet, basename="engine")
