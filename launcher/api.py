"""The control API's view set for engines."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from endpoints.api import Conflict, ControlViewSet
from endpoints.authentication import caller_name
from endpoints.models import Endpoint
from endpoints.serializers import UNKNOWN
from launcher import services
from launcher.models import Engine
from launcher.serializers import EngineEventSerializer, EngineSerializer, by_field
from launcher.states import Desired, State

# Start and stop take no settings; HTTP clients send an empty body under any of these types.
ANY_BODY = [JSONParser, FormParser, MultiPartParser]
RUNNING = OpenApiResponse(description="The engine is not stopped.")


@extend_schema_view(destroy=extend_schema(responses={204: None, 409: RUNNING}))
class EngineViewSet(ControlViewSet[Engine]):
    """vLLM engines that Roundhouse runs. A change of a running engine takes effect at its next start."""

    queryset = Engine.objects.defer("api_key").prefetch_related(
        "profiles", Prefetch("endpoint", queryset=Endpoint.objects.defer("api_key"))
    )
    serializer_class = EngineSerializer
    lookup_value_regex = "[a-z0-9][a-z0-9-]*"
    filters = {"state": [state.value for state in State], "desired_state": [wish.value for wish in Desired]}
    ordering_fields = ("name", "state", "state_since", "created_at", "updated_at")

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

    @extend_schema(
        operation_id="engines_events_list", filters=False, responses=EngineEventSerializer(many=True), parameters=[]
    )
    @action(detail=True, methods=["get"], serializer_class=EngineEventSerializer, filter_backends=[])
    def events(self, request: Request, **_: Any) -> Response:
        """List the engine's transitions, newest first."""
        events: QuerySet[Any] = self.get_object().events.all()
        page: Any = self.paginate_queryset(events)
        return self.get_paginated_response(EngineEventSerializer(page, many=True).data)

    def _asked(self, request: Request) -> Engine:
        if request.data:
            names = list(request.data) if isinstance(request.data, dict) else ["non_field_errors"]
            raise ValidationError({name: [UNKNOWN] for name in names})
        return self.get_object()

    def _shown(self, engine: Engine) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=engine.pk)).data)
