"""Makes an engine and its profile from a preset, fitted to the GPUs that are there. Nothing is started."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from endpoints.models import ConfigProfile
from launcher import checks, placement, presets, queries
from launcher.cluster import Cluster, ClusterUnreachableError, Node
from launcher.models import Engine
from launcher.presets import PRESETS, Preset

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
DEVICES = Path("/dev")
_GPU = re.compile(r"nvidia\d+")


class PresetError(Exception):
    """Nothing was made: `field` (preset, name or profile) says what to change, the message why."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def rooms(cluster: Cluster) -> list[placement.Room]:
    """Return what the nodes have left. A local cluster that does not run yet is this machine.

    Raises:
        ClusterUnreachableError: if nobody knows.
    """
    nodes = cluster.nodes()
    if not nodes and cluster.local:
        nodes = [Node(LOOPBACK, True, sum(bool(_GPU.fullmatch(each.name)) for each in DEVICES.iterdir()))]  # noqa: FBT003  (Node's own order)
    return placement.rooms(nodes, {claim.submission_id: claim.gpus for claim in queries.claims()})


@dataclass(frozen=True)
class Offer:
    """A preset and what it would take here: `gpus` of one node, 0 on CPU; None if it does not fit, for `refusal`."""

    name: str
    model: str
    kwargs: Mapping[str, Any]
    profile: Mapping[str, Any]
    gpus: int | None
    refusal: str


def offers(cluster: Cluster) -> tuple[list[Offer], str]:
    """Return every preset as it would be made now, and why nobody knows which GPUs there are; "" if that is known."""
    try:
        there = rooms(cluster)
    except ClusterUnreachableError as error:
        return [_offer(preset, str(error)) for preset in PRESETS.values()], str(error)
    return [_offer(preset, presets.gpus(preset, there)) for preset in PRESETS.values()], ""


def create(preset_name: str, cluster: Cluster, *, by: str, name: str = "", profile_name: str = "") -> Engine:
    """Return a new, stopped engine, linked to a new profile: of the engine's name, the preset's unless one is given.

    Raises:
        PresetError: if there is no such preset, no room for it, or something of that name.
        ClusterUnreachableError: if nobody knows which GPUs there are.
    """
    preset = PRESETS.get(preset_name)
    if preset is None:
        raise PresetError("preset", f"There is no preset {preset_name!r}. There are: {', '.join(PRESETS)}.")
    size = presets.gpus(preset, rooms(cluster))
    if isinstance(size, str):
        raise PresetError("preset", size)
    name = name or preset.name
    engine = Engine(name=name, **presets.engine_settings(preset, size))
    profile = ConfigProfile(name=profile_name or name, **presets.profile_settings(preset))
    if problems := checks.problems(engine.vllm_serve_kwargs, engine.vllm_serve_env_vars, engine.interpreter):
        raise PresetError("preset", " ".join(problem.message for problem in problems))
    with transaction.atomic():
        _check(engine, "name")
        _check(profile, "profile" if profile_name else "name")
        profile.save(force_insert=True)
        engine.save(force_insert=True)
        engine.profiles.add(profile)
    logger.info("Engine %s: %s made it from the preset %s, with the profile %s.", name, by, preset.name, profile.name)
    return engine


def _offer(preset: Preset, size: int | str) -> Offer:
    fits = isinstance(size, int)
    return Offer(
        preset.name,
        preset.model,
        preset.kwargs,
        preset.profile,
        int(size) if fits else None,
        "" if fits else str(size),
    )


def _check(row: Any, field: str) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise PresetError(field, " ".join(error.messages)) from None
