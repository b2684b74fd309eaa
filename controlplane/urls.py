"""URLs that Django serves: the admin, the control API, the monitoring pages. /v1/* is routed before it, in asgi.py."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, include, path

from controlplane.api import DocsView, NowhereView, SchemaView, router
from launcher.admin_cluster import cluster_page, reap_orphans
from launcher.admin_presets import presets_page


def index(_request: HttpRequest) -> HttpResponseBase:
    """Send a browser that opens the bare address to the admin."""
    return redirect("admin:index")


def health(_request: HttpRequest) -> HttpResponseBase:
    """Say that this process answers. It looks at nothing else."""
    return JsonResponse({"status": "ok"})


handler500 = "controlplane.away.handler500"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", index, name="index"),
    path("health", health, name="health"),
    path("admin/cluster/", admin.site.admin_view(cluster_page), name="cluster"),
    path("admin/cluster/reap/", admin.site.admin_view(reap_orphans), name="cluster-reap"),
    path("admin/presets/", admin.site.admin_view(presets_page), name="presets"),
    path("admin/", admin.site.urls),
    path("monitor/", include("responses_api.monitor.urls")),
    path("api/v1/", include(router.urls)),
    path("api/v1/<path:rest>", NowhereView.as_view()),
    path("api/schema/", SchemaView.as_view(), name="api-schema"),
    path("api/docs/", DocsView.as_view(url_name="api-schema"), name="api-docs"),
]
