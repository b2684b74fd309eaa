"""Reads of engines that more than one caller needs."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Max, Q, QuerySet

from launcher import command, placement
from launcher.models import Engine, EngineEvent
from launcher.states import Desired, State

# What a launch reads of an engine, beside the names of its profiles. A token is needed to fetch weights, not to serve.
LAUNCH_SETTINGS = (
    "model",
    "vllm_serve_kwargs",
    "vllm_serve_env_vars",
    "hf_home",
    "ray_worker_py_executable",
    "device",
    "debug",
    "show_vllm_engine_stats",
)


def to_visit() -> QuerySet[Engine]:
    """Return the engines that the reconciler looks at: all but those that are stopped, and are to be."""
    return Engine.objects.exclude(state=State.STOPPED, desired_state=Desired.STOPPED, delete_asked=False)


def interpreters() -> list[str]:
    """Return the interpreters that engines run with."""
    rows = Engine.objects.only("ray_worker_py_executable").order_by("ray_worker_py_executable")
    return list(dict.fromkeys(engine.interpreter for engine in rows))


def events_before(end: dt.datetime) -> QuerySet[EngineEvent]:
    """Return what happened to engines before then, the oldest first, without the last event of each."""
    newest = EngineEvent.objects.values("engine").annotate(last=Max("pk")).values("last")
    return EngineEvent.objects.filter(at__lt=end).exclude(pk__in=newest).order_by("at")


def served_names(engine: Engine) -> list[str]:
    """Return the names that the engine is to answer to."""
    models = [profile.engine_model for profile in engine.profiles.all()]
    return command.served_names(engine.vllm_serve_kwargs, models, engine.model)


def digests(engine: Engine) -> dict[str, str]:
    """Return a digest of each setting that a launch reads: to be compared later, without keeping the settings twice."""
    values = {name: getattr(engine, name) for name in LAUNCH_SETTINGS} | {"profiles": served_names(engine)}
    return {name: _digest(value) for name, value in values.items()}


def changed_since_launch(engine: Engine) -> list[str]:
    """Return the settings that were changed since the attempt that there is was begun: a restart applies them."""
    if not engine.base_url:
        return []
    return [name for name, now in digests(engine).items() if engine.launched.get(name, now) != now]


def restart_in_the_way(engine: Engine) -> str:
    """Return the name of the engine that restarts first, as it serves one of the same profiles; "" if there is none.

    One whose restart fails stays in the way, however often it is tried: the settings may be what is wrong.
    """
    beside = Engine.objects.filter(profiles__in=engine.profiles.all(), desired_state=Desired.RUNNING)
    under_way = ~Q(state=State.READY) & Q(restart_of__isnull=False)
    before = Q(state=State.READY, restart_of=F("generation"), pk__lt=engine.pk)
    name: str | None = (
        beside.exclude(pk=engine.pk).filter(under_way | before).order_by("pk").values_list("name", flat=True).first()
    )
    return name or ""


def newest_state_since() -> dt.datetime | None:
    """Return when the last move of any engine was; None if there is no engine."""
    newest: dt.datetime | None = Engine.objects.aggregate(newest=Max("state_since"))["newest"]
    return newest


def is_to_launch(engine: Engine) -> bool:
    """Return whether this attempt is still the one to launch. Asked again right before it is."""
    same = Engine.objects.filter(pk=engine.pk, generation=engine.generation)
    return same.filter(state=State.PENDING, desired_state=Desired.RUNNING).exists()


def is_current(engine: Engine) -> bool:
    """Return whether this attempt is one that the reconciler still looks after."""
    return to_visit().filter(pk=engine.pk, generation=engine.generation).exists()


@dataclass(frozen=True)
class Claim:
    """What an attempt takes: an address and port, and GPUs on each node. Written down before anything is submitted."""

    submission_id: str
    base_url: str
    gpus: Mapping[str, int]


def claims() -> list[Claim]:
    """Return what all attempts take. One that failed takes no GPUs but those that the cluster still holds for it."""
    rows = Engine.objects.exclude(base_url="").only("generation", "base_url", "placement", "state").order_by("pk")
    return [Claim(row.submission_id, row.base_url, _gpus(row)) for row in rows]


def _gpus(engine: Engine) -> dict[str, int]:
    found = placement.from_json(engine.placement)
    return found.gpus if found and engine.state != State.FAILED else {}


def lock_all() -> None:
    """Let nobody else claim anything until this transaction ends. SQLite does so by itself: one writes at a time."""
    list(Engine.objects.select_for_update().order_by("pk").values_list("pk", flat=True))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
