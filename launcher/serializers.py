"""Engines and their events as the control API shows and takes them."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from endpoints.models import ConfigProfile, Endpoint
from endpoints.serializers import StrictSerializer
from launcher import command
from launcher.models import Engine, EngineEvent


def by_field(problems: list[command.Problem]) -> dict[str, list[str]]:
    """Return the problems as a form or an API answer shows them: field → messages."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem.field, []).append(problem.message)
    return found


SETTINGS = (
    "name",
    "model",
    "profiles",
    "vllm_serve_kwargs",
    "vllm_serve_env_vars",
    "hf_home",
    "ray_worker_py_executable",
    "device",
    "debug",
    "show_vllm_engine_stats",
    "restart_policy",
    "max_restarts",
    "startup_timeout_seconds",
    "drain_seconds",
)
OBSERVED = (
    "desired_state",
    "desired_at",
    "state",
    "state_reason",
    "state_since",
    "phase",
    "base_url",
    "generation",
    "submission_id",
    "failures",
    "log_tail",
    "endpoint",
    "created_at",
    "updated_at",
)


class EngineSerializer(StrictSerializer[Engine]):
    """An engine: what is wanted, and what was seen. The wish is changed by start and stop."""

    write_once = ("name",)

    profiles = serializers.SlugRelatedField(
        slug_field="name",
        many=True,
        required=False,
        queryset=ConfigProfile.objects.all(),
        help_text="Names of the profiles that its endpoint joins when it is ready.",
    )
    submission_id = serializers.CharField(read_only=True, help_text="The Ray job of the current generation.")
    endpoint: serializers.SlugRelatedField[Endpoint] = serializers.SlugRelatedField(
        slug_field="name",
        read_only=True,
        allow_null=True,
        help_text="The endpoint that it owns; null before the first.",
    )

    class Meta:
        model = Engine
        fields = (*SETTINGS, *OBSERVED)
        read_only_fields = OBSERVED

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse arguments that a launch would refuse, by name."""
        given = {command.KWARGS, command.ENV_VARS} & attrs.keys()
        if self.instance is None or given:
            problems = command.check_config(self._value(attrs, command.KWARGS), self._value(attrs, command.ENV_VARS))
            if problems:
                raise ValidationError(by_field(problems))
        return attrs

    def _value(self, attrs: dict[str, Any], name: str) -> object:
        return attrs[name] if name in attrs else getattr(self.instance or Engine(), name)


class EngineEventSerializer(serializers.ModelSerializer[EngineEvent]):
    """One transition."""

    class Meta:
        model = EngineEvent
        fields = ("old", "new", "reason", "generation", "log_tail", "at")
