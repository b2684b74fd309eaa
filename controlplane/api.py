"""The control API's router: every app's view sets under /api/v1/."""

from endpoints.api import EndpointViewSet, ProfileViewSet
from launcher.api import EngineViewSet
from rest_framework.routers import DefaultRouter

router = DefaultRouter()
router.register("endpoints", EndpointViewSet, basename="endpoint")
router.register("profiles", ProfileViewSet, basename="profile")
router.register("engines", EngineViewSet, basename="engine")
