"""What was used, for scripts: the minutes' sums as pages of rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from responses_api.models import UsageMinute
from responses_api.monitor import usage
from responses_api.monitor.usage import BY, Sums

WIDTHS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0, "all": None}
DEFAULT_SPAN = timedelta(hours=24)


class Pages(PageNumberPagination):
    """Pages of a length that the caller may choose."""

    page_size_query_param = "page_size"
    max_page_size = 1000


class UsageQuerySerializer(serializers.Serializer[Any]):
    """What is counted, and what it is told apart by."""

    since = serializers.DateTimeField(
        required=False, default_timezone=UTC, help_text="The first minute that counts. Unset: 24 hours before `until`."
    )
    until = serializers.DateTimeField(
        required=False, default_timezone=UTC, help_text="The first minute that no longer counts. Unset: now."
    )
    bucket = serializers.ChoiceField(
        choices=list(WIDTHS), default="hour", help_text="The parts of time, in UTC; `all`: the whole span is one."
    )
    by = serializers.CharField(
        default="profile", help_text=f"What rows are told apart by, with commas in between: {', '.join(BY)}."
    )
    profile = serializers.CharField(required=False, help_text="Only this config profile.")
    endpoint = serializers.CharField(required=False, help_text="Only this endpoint.")
    key = serializers.CharField(required=False, help_text="Only the API key of this name.")
    cause = serializers.CharField(required=False, help_text="Only answers that are empty for this cause.")

    def validate_by(self, value: str) -> list[str]:
        """Return the names, each once."""
        names = list(dict.fromkeys(value.split(",")))
        if unknown := [name for name in names if name not in BY]:
            raise ValidationError(f"There is no {unknown[0]!r}: choose from {', '.join(BY)}.")
        return names

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Fill in the span, and refuse what is misspelt: a filter that does nothing gives wrong sums."""
        if unknown := set(self.initial_data) - set(self.fields) - {"page", "page_size"}:
            raise ValidationError({name: ["There is no such parameter."] for name in sorted(unknown)})
        attrs.setdefault("until", timezone.now())
        attrs.setdefault("since", attrs["until"] - DEFAULT_SPAN)
        if attrs["since"] >= attrs["until"]:
            raise ValidationError({"since": ["It must be before `until`."]})
        return attrs


class LatencySerializer(serializers.Serializer[Any]):
    """How long requests took, in milliseconds. The quantiles are read off the steps, as if each were filled evenly."""

    mean_ms = serializers.FloatField(allow_null=True)
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    steps = serializers.DictField(
        child=serializers.IntegerField(), help_text="Requests that took up to so long, and longer than the step before."
    )


class UsageSerializer(serializers.Serializer[Any]):
    """The sums of one part of time and one of what rows are told apart by; null: not told apart by this."""

    start = serializers.DateTimeField()
    profile = serializers.CharField(allow_null=True)
    endpoint = serializers.CharField(allow_null=True, help_text="Empty: no endpoint was asked.")
    key = serializers.CharField(allow_null=True, help_text="Empty: counted before keys were told apart.")
    cause = serializers.CharField(allow_null=True, help_text="Empty: the answers were not.")
    requests = serializers.IntegerField()
    # The framework takes the fields off the class, so this hides nothing of its own.
    errors = serializers.IntegerField(help_text="Of the requests, those that failed.")  # type: ignore[assignment]
    empties = serializers.IntegerField(help_text="Of the requests, those whose answer was empty.")
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Of the input, those that an engine had in its cache.")
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField(help_text="Of the output, thoughts.")
    duration_ms = serializers.IntegerField(help_text="How long the requests took, all added up.")
    engine_ms = serializers.IntegerField(help_text="Of that, the engines' time.")
    latency = LatencySerializer()


class UsageViewSet(ViewSet):
    """What was used. Staff may look, as at the page; so may every key with the scope control."""

    pagination_class = Pages

    @extend_schema(
        operation_id="usage_list",
        parameters=[UsageQuerySerializer],
        responses=UsageSerializer(many=True),
        filters=True,
    )
    def list(self, request: Request, **_: Any) -> Response:
        """List what was used, oldest first: requests, tokens, empty answers, failures and latencies."""
        asked = UsageQuerySerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        query = asked.validated_data
        wanted = {name: query[name] for name in BY if name in query}
        rows = usage.minutes(query["since"], query["until"], wanted)
        pages, width = Pages(), WIDTHS[query["bucket"]]
        page = pages.paginate_queryset(usage.counted(rows, query["by"], width), request, view=self)
        found = [_row(row, query["since"], width) for row in page or []]
        return pages.get_paginated_response(UsageSerializer(found, many=True).data)


def _row(row: dict[str, Any], since: datetime, width: float | None) -> dict[str, Any]:
    sums = Sums.of(row)
    steps = [name.removeprefix("took_") for name, _ in UsageMinute.LATENCIES]
    return {
        "start": since if width is None else datetime.fromtimestamp(int(row["part"]) * width, UTC),
        **{name: row.get(column) for name, column in BY.items()},
        **{name: getattr(sums, name) for name in usage.PLAIN},
        "latency": {
            **{name: getattr(sums, name) for name in ("mean_ms", "p50_ms", "p95_ms")},
            "steps": dict(zip(steps, sums.steps, strict=True)),
        },
    }
