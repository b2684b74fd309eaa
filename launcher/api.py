"""The control API's view sets for engines and the cluster that they run on."""

from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from endpoints.api import Conflict, ControlViewSet
from endpoints.authentication import caller_name
from endpoints.models import ApiKey, Endpoint
from endpoints.serializers import UNKNOWN
from launcher import fleet, from_preset, logs, ray_cluster, services
from launcher.cluster import ClusterUnreachableError
from launcher.log_answer import NoSuchAttemptError, log_answer
from launcher.models import Engine
from launcher.serializers import (
    AttemptSerializer,
    EngineEventSerializer,
    EngineSerializer,
    FleetSerializer,
    FromPresetSerializer,
    OfferSerializer,
    OrphanSerializer,
    ReapedSerializer,
    by_field,
)
from launcher.states import Desired, State

# Start and stop take no settings; HTTP clients send an empty body under any of these types.
ANY_BODY = [JSONParser, FormParser, MultiPartParser]
HAS_TOKEN = ExpressionWrapper(~Q(hf_token=""), output_field=BooleanField())
RUNNING = OpenApiResponse(description="The engine is not stopped.")


class EngineViewSet(ControlViewSet[Engine]):
    """vLLM engines that Roundhouse runs. A change of a running engine takes effect at its next start."""

    queryset = (
        Engine.objects.defer("api_key", "hf_token")
        .annotate(has_token=HAS_TOKEN)
        .prefetch_related("profiles", Prefetch("endpoint", queryset=Endpoint.objects.defer("api_key")))
    )
    serializer_class = EngineSerializer
    lookup_value_regex = "[a-z0-9][a-z0-9-]*"
    filters = {"state": [state.value for state in State], "desired_state": [wish.value for wish in Desired]}
    ordering_fields = ("name", "state", "state_since", "created_at", "updated_at")

    @extend_schema(
        parameters=[OpenApiParameter("stop", bool, description="Stop it first, and delete it once it is stopped.")],
        responses={202: EngineSerializer, 204: None, 409: RUNNING},
    )
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a stopped engine and the endpoint that it owns; with `?stop=true` any one, which takes its time."""
        engine = self.get_object()
        idle = engine.state == State.STOPPED and engine.desired_state == Desired.STOPPED
        if idle or request.query_params.get("stop") != "true":
            return super().destroy(request, *args, **kwargs)
        services.stop_and_delete(engine, by=caller_name(request))
        shown = self._shown(engine)
        shown.status_code = status.HTTP_202_ACCEPTED
        return shown

    def perform_destroy(self, instance: Engine) -> None:
        """Delete the engine and the endpoint that it owns, if it is stopped."""
        try:
            services.delete(instance)
        except services.EngineBusyError as error:
            raise Conflict(str(error)) from None

    @extend_schema(request=None, responses=EngineSerializer)
    @action(detail=True, methods=["post"], required_verb="change", parser_classes=ANY_BODY)
    def start(self, request: Request, **_: Any) -> Response:
        """Want the engine to run. Asking twice changes nothing; a failed engine is tried again."""
        engine = self._asked(request)
        try:
            services.start(engine, by=caller_name(request))
        except services.EngineConfigError as error:
            raise ValidationError(by_field(error.problems)) from None
        return self._shown(engine)

    @extend_schema(request=None, responses=EngineSerializer)
    @action(detail=True, methods=["post"], required_verb="change", parser_classes=ANY_BODY)
    def stop(self, request: Request, **_: Any) -> Response:
        """Want the engine to be stopped. Asking twice changes nothing."""
        engine = self._asked(request)
        services.stop(engine, by=caller_name(request))
        return self._shown(engine)

    @extend_schema(request=None, responses=EngineSerializer)
    @action(detail=True, methods=["post"], required_verb="change", parser_classes=ANY_BODY)
    def restart(self, request: Request, **_: Any) -> Response:
        """Want the launch that there is replaced by one with the settings of now, after a drain.

        Engines that serve the same profile restart one after the other. One that does not run is started.
        """
        engine = self._asked(request)
        try:
            services.restart(engine, by=caller_name(request))
        except services.EngineConfigError as error:
            raise ValidationError(by_field(error.problems)) from None
        return self._shown(engine)

    @extend_schema(
        request=FromPresetSerializer,
        responses={
            201: EngineSerializer,
            409: OpenApiResponse(description="Nobody knows which GPUs there are."),
        },
    )
    @action(detail=False, methods=["post"], url_path="from-preset")
    def from_preset(self, request: Request, **_: Any) -> Response:
        """Make a stopped engine and its profile of a preset, fitted to the GPUs that are there."""
        asked = _from_preset_body(request)
        try:
            engine = from_preset.create(
                asked["preset"],
                ray_cluster.from_settings(),
                by=caller_name(request),
                name=asked.get("name", ""),
                profile_name=asked.get("profile", ""),
            )
        except from_preset.PresetError as error:
            raise ValidationError({error.field: [str(error)]}) from None
        except ClusterUnreachableError as error:
            raise Conflict(str(error)) from None
        shown = self._shown(engine)
        shown.status_code = status.HTTP_201_CREATED
        return shown

    @extend_schema(
        operation_id="engines_events_list", filters=False, responses=EngineEventSerializer(many=True), parameters=[]
    )
    @action(detail=True, methods=["get"], serializer_class=EngineEventSerializer, filter_backends=[])
    def events(self, request: Request, **_: Any) -> Response:
        """List the engine's transitions, newest first."""
        events: QuerySet[Any] = self.get_object().events.all()
        page: Any = self.paginate_queryset(events)
        return self.get_paginated_response(EngineEventSerializer(page, many=True).data)

    @extend_schema(filters=False, parameters=[], responses=AttemptSerializer(many=True))
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None)
    def attempts(self, request: Request, **_: Any) -> Response:
        """List the latest launches, the newest first, each with the first cause of its failure."""
        found = logs.attempts(self.get_object())
        return Response([AttemptSerializer(each).data for each in found])

    @extend_schema(
        filters=False,
        parameters=[
            OpenApiParameter("attempt", int, description="Which launch; the newest unless given."),
            OpenApiParameter("search", str, description="Only lines that hold this, in any case."),
            OpenApiParameter("follow", bool, description="Stay, and send what is added until the launch is over."),
            OpenApiParameter("download", bool, description="Name it as a file, for browsers."),
        ],
        responses={(200, "text/plain"): str},
    )
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None, url_path="logs")
    def log(self, request: Request, **_: Any) -> StreamingHttpResponse | HttpResponse:
        """Show the log of a launch as text, without secrets."""
        try:
            return log_answer(request.query_params, self.get_object())
        except NoSuchAttemptError as error:
            raise ValidationError({"attempt": [str(error)]}) from None

    def _asked(self, request: Request) -> Engine:
        if request.data:
            names = list(request.data) if isinstance(request.data, dict) else ["non_field_errors"]
            raise ValidationError({name: [UNKNOWN] for name in names})
        return self.get_object()

    def _shown(self, engine: Engine) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=engine.pk)).data)


def _from_preset_body(request: Request) -> dict[str, str]:
    """Return what was asked, of somebody who may make profiles too: making engines is asked by the view set."""
    if not isinstance(request.auth, ApiKey) and not request.user.has_perm("endpoints.add_configprofile"):
        raise PermissionDenied("This needs the permission endpoints.add_configprofile.")
    body = FromPresetSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    if unknown := [name for name in request.data if name not in body.fields]:
        raise ValidationError({name: [UNKNOWN] for name in unknown})
    asked: dict[str, str] = body.validated_data
    return asked


class PresetViewSet(ViewSet):
    """Engines that are ready to be made, with their profiles. Whoever may look at engines may look at them."""

    queryset = Engine.objects.none()

    @extend_schema(operation_id="presets_list", responses=OfferSerializer(many=True))
    def list(self, request: Request, **_: Any) -> Response:
        """List the presets, and what each would take of the GPUs that are there."""
        offers, _trouble = from_preset.offers(ray_cluster.from_settings())
        return Response([OfferSerializer(offer).data for offer in offers])


class ClusterViewSet(ViewSet):
    """The cluster that engines run on. Whoever may look at engines may look at it."""

    queryset = Engine.objects.none()
    required_verb: str | None = None

    @extend_schema(operation_id="cluster_retrieve", responses=FleetSerializer)
    def list(self, request: Request, **_: Any) -> Response:
        """Show the nodes, their GPUs, who holds them, which engines wait and why, and what nobody owns."""
        return Response(FleetSerializer(fleet.look(ray_cluster.from_settings())).data)

    @extend_schema(operation_id="cluster_orphans_list", responses=OrphanSerializer(many=True))
    @action(detail=False, methods=["get"])
    def orphans(self, request: Request, **_: Any) -> Response:
        """List jobs and processes of engines that nobody looks after, with whose they were."""
        return Response([OrphanSerializer(orphan).data for orphan in fleet.orphans(ray_cluster.from_settings())])

    @extend_schema(operation_id="cluster_orphans_reap", request=None, responses=ReapedSerializer)
    @action(detail=False, methods=["post"], url_path="orphans/reap", required_verb="change")
    def reap(self, request: Request, **_: Any) -> Response:
        """End all orphans, and say what is left of them."""
        try:
            reaped, left = fleet.reap(ray_cluster.from_settings())
        except ClusterUnreachableError as error:
            raise Conflict(str(error)) from None
        return Response(ReapedSerializer({"reaped": reaped, "left": left}).data)
