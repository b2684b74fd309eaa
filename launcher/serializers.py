"""Engines and their events as the control API shows and takes them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from endpoints.models import ConfigProfile, Endpoint
from endpoints.serializers import StrictSerializer
from launcher import checks, command, queries, services
from launcher.fleet import Fleet, Holder, NodeView, Orphan, Waiting
from launcher.from_preset import Offer
from launcher.logs import AttemptView
from launcher.models import LAUNCH_PERMISSION, PROCESS_FIELDS, Engine, EngineEvent


def by_field(problems: list[command.Problem]) -> dict[str, list[str]]:
    """Return the problems as a form or an API answer shows them: field → messages."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem.field, []).append(problem.message)
    return found


NOT_YOURS = f"This needs the permission {LAUNCH_PERMISSION}."

SETTINGS = (
    "name",
    "model",
    "profiles",
    "vllm_serve_kwargs",
    "vllm_serve_env_vars",
    "hf_home",
    "hf_token",
    "has_hf_token",
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
    "progress",
    "startup_deadline",
    "base_url",
    "generation",
    "placement",
    "restart_asked",
    "needs_restart",
    "warnings",
    "delete_asked",
    "submission_id",
    "failures",
    "log_tail",
    "endpoint",
    "created_at",
    "updated_at",
)


class ProgressSerializer(serializers.Serializer[dict[str, Any]]):
    """How far the phase of a start is."""

    stage = serializers.CharField()
    percent = serializers.FloatField(allow_null=True)
    done = serializers.FloatField(allow_null=True)
    total = serializers.FloatField(allow_null=True)
    unit = serializers.CharField(help_text="What is counted: bytes, files, shards, graphs; empty if nobody says.")
    eta_seconds = serializers.IntegerField(allow_null=True, help_text="How long it will take.")


PROGRESS = [*ProgressSerializer().get_fields()]


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

    has_hf_token = serializers.SerializerMethodField(help_text="Whether a Hugging Face token is stored.")
    restart_asked = serializers.BooleanField(read_only=True, help_text="It is about to be launched anew.")
    needs_restart = serializers.SerializerMethodField(
        help_text="Settings that were changed since it was launched; `restart/` applies them."
    )
    warnings = serializers.SerializerMethodField(
        help_text="Where it and its profiles contradict each other, with the setting to change."
    )

    progress = serializers.SerializerMethodField(
        help_text="The phase of a start in numbers; null where there are none."
    )
    startup_deadline = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When a start that is under way will have failed."
    )

    class Meta:
        model = Engine
        fields = (*SETTINGS, *OBSERVED)
        read_only_fields = OBSERVED
        extra_kwargs = {"hf_token": {"write_only": True}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse arguments that a launch would refuse, by name."""
        self._check_permission(attrs)
        given = {command.KWARGS, command.ENV_VARS, "ray_worker_py_executable"} & attrs.keys()
        if self.instance is None or given:
            interpreter = Engine(
                ray_worker_py_executable=str(self._value(attrs, "ray_worker_py_executable"))
            ).interpreter
            kwargs, env_vars = self._value(attrs, command.KWARGS), self._value(attrs, command.ENV_VARS)
            if problems := checks.problems(kwargs, env_vars, interpreter):
                raise ValidationError(by_field(problems))
        return attrs

    @extend_schema_field(ProgressSerializer(allow_null=True))
    def get_progress(self, engine: Engine) -> dict[str, Any] | None:
        """Return what is known of how far its start is."""
        return {name: engine.progress.get(name) for name in PROGRESS} if engine.progress else None

    def get_has_hf_token(self, engine: Engine) -> bool:
        """Return whether a token is stored, from the query's annotation where there is one."""
        annotated = getattr(engine, "has_token", None)
        return bool(engine.hf_token) if annotated is None else bool(annotated)

    def get_needs_restart(self, engine: Engine) -> list[str]:
        """Return the settings that a restart would apply."""
        return queries.changed_since_launch(engine)

    def get_warnings(self, engine: Engine) -> list[str]:
        """Return what to change in the engine or its profiles."""
        return checks.warnings(engine)

    def update(self, instance: Engine, validated_data: dict[str, Any]) -> Engine:
        """Save, and know whether there is a token now, and which pools its endpoint is in."""
        before = list(instance.profiles.all())
        instance = super().update(instance, validated_data)
        if "profiles" in validated_data:
            services.follow_links(instance, before)
        if "hf_token" in validated_data:
            instance.has_token = bool(validated_data["hf_token"])  # type: ignore[attr-defined]  # the query's annotation
        return instance

    def _check_permission(self, attrs: dict[str, Any]) -> None:
        user = getattr(self.context.get("request"), "user", None)
        if user is None or not user.is_authenticated or user.has_perm(LAUNCH_PERMISSION):
            return  # a control key, which is no user, may do everything
        known = self.instance or Engine()
        changed = [name for name in PROCESS_FIELDS if name in attrs and attrs[name] != getattr(known, name)]
        if changed:
            raise ValidationError({name: [NOT_YOURS] for name in changed})

    def _value(self, attrs: dict[str, Any], name: str) -> object:
        return attrs[name] if name in attrs else getattr(self.instance or Engine(), name)


class AttemptSerializer(serializers.Serializer[AttemptView]):
    """One launch of an engine."""

    attempt = serializers.IntegerField(help_text="The engine's generation then.")
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.CharField(help_text="The state that it came to.")
    cause = serializers.CharField(help_text="The first thing that went wrong; empty if nothing did.")
    log_bytes = serializers.IntegerField(help_text="How much of its log is kept.")


class HolderSerializer(serializers.Serializer[Holder]):
    """Whoever has GPUs of a node."""

    name = serializers.CharField(help_text="An engine's name; a Ray job's id; `others` for what is no job.")
    gpus = serializers.IntegerField()
    taken = serializers.BooleanField(help_text="False: promised to an engine that has not taken them yet.")


class NodeSerializer(serializers.Serializer[NodeView]):
    """One machine of the cluster."""

    address = serializers.CharField()
    is_head = serializers.BooleanField()
    gpus = serializers.IntegerField()
    free_gpus = serializers.IntegerField()
    holders = HolderSerializer(many=True)


class WaitingSerializer(serializers.Serializer[Waiting]):
    """An engine that waits, and for what."""

    engine = serializers.CharField()
    reason = serializers.CharField()


class OrphanSerializer(serializers.Serializer[Orphan]):
    """What is left of an attempt that nobody looks after."""

    submission_id = serializers.CharField()
    engine = serializers.CharField(help_text="Whose it was.")
    attempt = serializers.IntegerField()
    job = serializers.CharField(allow_null=True, help_text="The state of its Ray job; null if only processes are left.")
    processes = serializers.ListField(child=serializers.CharField(), help_text="On this machine.")
    gpus = serializers.IntegerField(help_text="That its placement groups hold on the cluster.")


class FleetSerializer(serializers.Serializer[Fleet]):
    """The cluster, who holds what of it, who waits, and what nobody owns."""

    local = serializers.BooleanField(help_text="Whether Roundhouse starts and ends it; else it is joined.")
    running = serializers.BooleanField()
    trouble = serializers.CharField(help_text="Why it says nothing; empty if it does.")
    gpus = serializers.IntegerField()
    free_gpus = serializers.IntegerField()
    nodes = NodeSerializer(many=True)
    waiting = WaitingSerializer(many=True)
    orphans = OrphanSerializer(many=True)


class ReapedSerializer(serializers.Serializer[dict[str, list[Orphan]]]):
    """What was ended, and what is left of it: a job needs some seconds."""

    reaped = OrphanSerializer(many=True)
    left = OrphanSerializer(many=True)


class OfferSerializer(serializers.Serializer[Offer]):
    """A model that is ready to be made into an engine and its profile, and what it would take here."""

    name = serializers.CharField()
    model = serializers.CharField()
    vllm_serve_kwargs = serializers.DictField(source="kwargs", help_text="Beside those of its size.")
    profile = serializers.DictField(help_text="Settings of the profile that differ from the defaults.")
    gpus = serializers.IntegerField(allow_null=True, help_text="0: it runs on CPU; null: it does not fit.")
    refusal = serializers.CharField(help_text="Why it does not fit; empty if it does.")


class FromPresetSerializer(serializers.Serializer[dict[str, str]]):
    """Which preset, and what its engine and profile are to be called."""

    preset = serializers.CharField()
    name = serializers.CharField(required=False, help_text="The engine's; the preset's own unless given.")
    profile = serializers.CharField(required=False, help_text="The profile's; the engine's unless given.")


class EngineEventSerializer(serializers.ModelSerializer[EngineEvent]):
    """One transition."""

    class Meta:
        model = EngineEvent
        fields = ("old", "new", "reason", "generation", "log_tail", "at")
