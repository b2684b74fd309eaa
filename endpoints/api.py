"""The control API's view sets for endpoints, config profiles and API keys, and what every view set shares."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from django.db import IntegrityError, models
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ParseError, PermissionDenied, ValidationError
from rest_framework.filters import BaseFilterBackend, OrderingFilter
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from endpoints import services
from endpoints.authentication import may_issue_control_keys
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from endpoints.serializers import ApiKeySerializer, EndpointSerializer, IssuedApiKeySerializer, ProfileSerializer

ModelT = TypeVar("ModelT", bound=models.Model)

# Model names hold dots, colons and slashes: meta-llama/Llama-3.1-8B, qwen3:30b.
NAME_IN_PATH = r"[A-Za-z0-9][A-Za-z0-9._:/-]*"
# A name may hold slashes, and what follows it may not be taken for its end.
PAUSABLE_NAME_IN_PATH = NAME_IN_PATH + r"(?<!/pause)(?<!/resume)"
# These calls take no settings; HTTP clients send an empty body under any of these types.
ANY_BODY = [JSONParser, FormParser, MultiPartParser]


class Conflict(APIException):
    """The thing is in a state that forbids this; what to do first is in the message."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This cannot be done now."
    default_code = "conflict"


class ChoiceFilter(BaseFilterBackend):
    """Filters by equality on the columns of `view.filters`; a value that none can have is a 400, not an empty list."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Return the rows that the query parameters select."""
        wanted: dict[str, str] = {}
        for name, choices in self._filters(view).items():
            value = request.query_params.get(name)
            if value is None:
                continue
            if value not in choices:
                raise ValidationError({name: [f"Choose one of: {', '.join(choices)}."]})
            wanted[name] = value
        return queryset.filter(**wanted)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Return the parameters for the OpenAPI document."""
        return [
            {"name": name, "in": "query", "required": False, "schema": {"type": "string", "enum": list(choices)}}
            for name, choices in self._filters(view).items()
        ]

    @staticmethod
    def _filters(view: APIView) -> Mapping[str, list[str]]:
        return getattr(view, "filters", {})


class ControlViewSet(ModelViewSet[ModelT]):
    """List, create, retrieve, update and delete, by name."""

    lookup_field = "name"
    lookup_value_regex = NAME_IN_PATH
    filter_backends = (ChoiceFilter, OrderingFilter)
    filters: ClassVar[Mapping[str, list[str]]] = {}
    # What a custom action asks of the signed-in user: "change" for starting an engine, where POST would say "add".
    required_verb: str | None = None

    def handle_exception(self, exc: Exception) -> Response:
        """Answer 409 where two calls raced for one name, and 400 where a body's brackets never end."""
        if isinstance(exc, IntegrityError):
            exc = Conflict("Another call wrote this at the same time. Look at what is there, then try again.")
        elif isinstance(exc, RecursionError):
            exc = ParseError("This body is nested too deeply.")
        return super().handle_exception(exc)


class Pausable:
    """Two calls for things that requests wait for while they are paused."""

    lookup_value_regex = PAUSABLE_NAME_IN_PATH

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], required_verb="change", parser_classes=ANY_BODY)
    def pause(self, request: Request, **_: Any) -> Response:
        """Let requests wait, as for new weights; what runs goes on. Asking twice changes nothing."""
        return self._switched(services.pause)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], required_verb="change", parser_classes=ANY_BODY)
    def resume(self, request: Request, **_: Any) -> Response:
        """Let the requests go on that wait. Asking twice changes nothing."""
        return self._switched(services.resume)

    def _switched(self: Any, switch: Callable[[Any], int]) -> Response:
        row = self.get_object()
        switch(type(row).objects.filter(pk=row.pk))
        return Response(self.get_serializer(self.get_object()).data)


class EndpointViewSet(Pausable, ControlViewSet[Endpoint]):
    """Where engines are reached."""

    # The key stays in the database: no answer needs it, and one that cannot be decrypted breaks no listing.
    queryset = (
        Endpoint.objects.defer("api_key")
        .annotate(has_key=models.ExpressionWrapper(~models.Q(api_key=""), output_field=models.BooleanField()))
        .select_related("engine")
        .prefetch_related("profiles")
    )
    serializer_class = EndpointSerializer
    filters = {"health": list(Endpoint.Health.values)}
    ordering_fields = ("name", "health", "health_since", "created_at", "updated_at")

    def perform_destroy(self, instance: Endpoint) -> None:
        """Delete the endpoint, unless an engine would only make it again."""
        if hasattr(instance, "engine"):
            raise Conflict(f"Engine {instance.engine.name} owns this endpoint: delete the engine instead.")
        instance.delete()


class ProfileViewSet(Pausable, ControlViewSet[ConfigProfile]):
    """The model names that clients may send, and what each one means."""

    queryset = ConfigProfile.objects.prefetch_related(
        models.Prefetch("endpoints", queryset=Endpoint.objects.defer("api_key"))
    )
    serializer_class = ProfileSerializer
    ordering_fields = ("name", "created_at", "updated_at")


class ApiKeyViewSet(ControlViewSet[ApiKey]):
    """Who may call. A key's plaintext is in the answer that creates it and nowhere else."""

    lookup_field = "id"
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ApiKey.objects.prefetch_related("profiles")
    serializer_class = ApiKeySerializer
    ordering_fields = ("name", "created_at", "expires_at")

    @extend_schema(responses={201: IssuedApiKeySerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a key and show it, once."""
        serializer = ApiKeySerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        self._check_scope(serializer)
        serializer.save()
        return Response({**serializer.data, "key": serializer.issued}, status=status.HTTP_201_CREATED)

    def perform_update(self, serializer: Any) -> None:
        """Save the changes, unless they make a control key of another."""
        self._check_scope(serializer)
        serializer.save()

    def _check_scope(self, serializer: Any) -> None:
        had = serializer.instance is not None and serializer.instance.scope_control
        if serializer.validated_data.get("scope_control") and not had and not may_issue_control_keys(self.request):
            raise PermissionDenied("Keys for the control API are issued by whoever has the permission to.")
