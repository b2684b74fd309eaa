"""Endpoints, config profiles and API keys as the control API shows and takes them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import models, transaction
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from endpoints import base_url, profile_rules
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from endpoints.validators import validate_bearer

ModelT = TypeVar("ModelT", bound=models.Model)

UNKNOWN = "There is no such field."
READ_ONLY = "This is shown, never set."
JSON_OBJECT = {"type": "object", "additionalProperties": {}}


@extend_schema_field(JSON_OBJECT)
class ObjectField(serializers.JSONField):
    """A JSON object. The model's validators refuse other JSON."""


class StrictSerializer(serializers.ModelSerializer[ModelT]):
    """Refuses what it would otherwise ignore, and writes only the columns that the caller sent.

    An unknown field is an error that names it. So is a read-only one, unless it is sent back as it was read: what
    GET gave may be changed and PUT. `write_once` fields may be set on creation alone.
    """

    write_once: tuple[str, ...] = ()
    serializer_field_mapping = {**serializers.ModelSerializer.serializer_field_mapping, models.JSONField: ObjectField}

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields.

        Raises:
            ValidationError: with every problem there is, not just the first kind.
        """
        problems: dict[str, Any] = self._refused(data) if isinstance(data, Mapping) else {}
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**problems, **self._by_field(error)}) from None
        if problems:
            raise ValidationError(problems)
        return value

    @staticmethod
    def _by_field(error: ValidationError) -> dict[str, Any]:
        return error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}

    def _refused(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        fields = self.fields
        refused = {str(name): [UNKNOWN] for name in data if name not in fields}
        fixed = [name for name in data if name in fields and (fields[name].read_only or self._is_fixed(name))]
        if fixed:
            current = {} if self.instance is None else self.to_representation(self.instance)
            refused |= {name: [READ_ONLY] for name in fixed if name not in current or data[name] != current[name]}
        return refused

    def _is_fixed(self, name: str) -> bool:
        return self.instance is not None and name in self.write_once

    def create(self, validated_data: dict[str, Any]) -> ModelT:
        """Create the row and its relations together or not at all."""
        with transaction.atomic():
            return super().create(validated_data)

    def update(self, instance: ModelT, validated_data: dict[str, Any]) -> ModelT:
        """Save the given columns alone: probes and the reconciler write others of the same row at any time."""
        many = {field.name for field in instance._meta.many_to_many}
        with transaction.atomic():
            for name, value in validated_data.items():
                if name in many:
                    getattr(instance, name).set(value)
                else:
                    setattr(instance, name, value)
            columns = [name for name in validated_data if name not in many]
            stamp = ["updated_at"] if hasattr(instance, "updated_at") else []
            instance.save(update_fields=[*columns, *stamp])
        return instance


class EndpointSerializer(StrictSerializer[Endpoint]):
    """An endpoint. Its key goes in and never comes out."""

    has_api_key = serializers.SerializerMethodField(help_text="Whether a key is stored.")
    served_models = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What it listed at its last good probe."
    )
    engine = serializers.SerializerMethodField(help_text="The engine that owns this endpoint; null if none does.")
    profiles: serializers.SlugRelatedField[ConfigProfile] = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True, help_text="The profiles whose pool it is in."
    )

    class Meta:
        model = Endpoint
        fields = (
            "name",
            "base_url",
            "api_key",
            "has_api_key",
            "enabled",
            "draining",
            "weight",
            "paused",
            "max_concurrent",
            "max_queued",
            "health",
            "health_reason",
            "health_since",
            "last_probe_at",
            "served_models",
            "max_model_len",
            "circuit_cause",
            "circuit_reason",
            "circuit_until",
            "engine",
            "profiles",
            "created_at",
            "updated_at",
        )
        read_only_fields = (
            "health",
            "health_reason",
            "health_since",
            "last_probe_at",
            "max_model_len",
            "circuit_cause",
            "circuit_reason",
            "circuit_until",
            "created_at",
            "updated_at",
        )
        extra_kwargs = {"api_key": {"write_only": True, "validators": [validate_bearer]}}

    def get_has_api_key(self, endpoint: Endpoint) -> bool:
        """Return whether a key is stored, from the query's annotation where there is one."""
        annotated = getattr(endpoint, "has_key", None)
        return bool(endpoint.api_key) if annotated is None else bool(annotated)

    def get_engine(self, endpoint: Endpoint) -> str | None:
        """Return the name of the owning engine."""
        return endpoint.engine.name if hasattr(endpoint, "engine") else None

    def validate_base_url(self, value: str) -> str:
        """Return the base URL in its one form."""
        return base_url.check(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse to change what the owning engine writes."""
        if self.instance is not None and hasattr(self.instance, "engine"):
            owned = {"name", "base_url", "api_key"} & attrs.keys()
            changed = [name for name in owned if name == "api_key" or attrs[name] != getattr(self.instance, name)]
            if changed:
                owner = self.instance.engine.name
                raise ValidationError({name: [f"Engine {owner} owns this endpoint and sets this."] for name in changed})
        return attrs

    def update(self, instance: Endpoint, validated_data: dict[str, Any]) -> Endpoint:
        """Save, and know whether there is a key now."""
        instance = super().update(instance, validated_data)
        if "api_key" in validated_data:
            instance.has_key = bool(validated_data["api_key"])  # type: ignore[attr-defined]  # the query's annotation
        return instance


class ProfileSerializer(StrictSerializer[ConfigProfile]):
    """A config profile, its pool given by the endpoints' names."""

    endpoints = serializers.SlugRelatedField(
        slug_field="name",
        many=True,
        required=False,
        queryset=Endpoint.objects.defer("api_key"),
        help_text="Names of the endpoints that sessions are spread over.",
    )

    class Meta:
        model = ConfigProfile
        fields = (
            "name",
            "description",
            "upstream_model",
            "endpoints",
            "balancing",
            "enabled",
            "is_responses_native",
            "use_completions_api",
            "render_chat_template",
            "uses_reasoning_parser",
            "think_start_tag",
            "think_end_tag",
            "begins_in_thought",
            "uses_interleaved_reasoning",
            "preserve_reasoning_in_assistant_content",
            "sequential_reasoning_allowed",
            "reasoning_shown_as",
            "replace_developer_role_with_system",
            "unrunnable_tools",
            "context_overflow",
            "length_is_completed",
            "return_token_id_information",
            "request_prompt_and_generation_token_ids",
            "chat_template_kwargs",
            "extra_body",
            "sampling_overrides",
            "default_headers",
            "audio_root",
            "request_timeout_seconds",
            "connect_timeout_seconds",
            "first_byte_timeout_seconds",
            "idle_timeout_seconds",
            "hold_seconds",
            "max_attempts",
            "paused",
            "remote_media_allowed",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("created_at", "updated_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse settings that contradict each other, those included that are kept."""
        current = self.instance or ConfigProfile()
        settings = {name: attrs.get(name, getattr(current, name)) for name in profile_rules.NAMES}
        if found := profile_rules.contradictions(settings):
            raise ValidationError({name: [problem] for name, problem in found.items()})
        return attrs


class ApiKeySerializer(StrictSerializer[ApiKey]):
    """An API key: its beginning, never the key or its hash."""

    profiles = serializers.SlugRelatedField(
        slug_field="name",
        many=True,
        required=False,
        queryset=ConfigProfile.objects.all(),
        help_text="Names of the profiles that may be called; empty: all.",
    )

    class Meta:
        model = ApiKey
        fields = (
            "id",
            "name",
            "shown",
            "scope_gateway",
            "scope_control",
            "profiles",
            "enabled",
            "expires_at",
            "requests_per_minute",
            "max_concurrent",
            "created_at",
        )
        read_only_fields = ("shown", "created_at")

    def create(self, validated_data: dict[str, Any]) -> ApiKey:
        """Issue a key; its plaintext is left in `issued` for the one answer that shows it."""
        profiles = validated_data.pop("profiles", [])
        with transaction.atomic():
            key, self.issued = ApiKey.issue(**validated_data)
            key.profiles.set(profiles)
        return key


class IssuedApiKeySerializer(ApiKeySerializer):
    """A key that was just made, with its plaintext."""

    key = serializers.CharField(read_only=True, help_text="The key itself. It cannot be read again.")

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")  # type: ignore[assignment]  # one more than the parent's
