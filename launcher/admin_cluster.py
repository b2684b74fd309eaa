"""The admin's page of the cluster."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from launcher import fleet, ray_cluster
from launcher.cluster import ClusterUnreachableError


def cluster_page(request: HttpRequest) -> HttpResponse:
    """Show the nodes, who holds their GPUs, who waits, and what nobody owns."""
    if not _may(request, "view", "change"):
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": "Cluster",
        "fleet": fleet.look(ray_cluster.from_settings()),
        "may_reap": _may(request, "change"),
    }
    return TemplateResponse(request, "admin/launcher/cluster.html", context)


def reap_orphans(request: HttpRequest) -> HttpResponse:
    """End what nobody owns, and show the page."""
    if not _may(request, "change"):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        reaped, _ = fleet.reap(ray_cluster.from_settings())
    except ClusterUnreachableError as error:
        messages.error(request, f"Not reaped: {error}")
    else:
        count = len(reaped)
        messages.success(request, f"{count} orphan{'s' if count != 1 else ''} told to end.")
    return redirect("cluster")


def _may(request: HttpRequest, *verbs: str) -> bool:
    return any(request.user.has_perm(f"launcher.{verb}_engine") for verb in verbs)
