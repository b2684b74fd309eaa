"""Engines for tests, and the reconciler turned by hand."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils import timezone

from endpoints.models import Endpoint
from launcher import places, reconcile, services
from launcher.cluster import Cluster
from launcher.models import Engine, default_serve_env_vars, default_serve_kwargs, installation
from launcher.states import State

VARIABLE = "ROUNDHOUSE_ENGINE"
STAND_IN = str(Path(__file__).resolve().parents[1] / "fakes" / "engine_python.py")


def make_engine(name: str = "tiny", *, env: dict[str, str] | None = None, **fields: Any) -> Engine:
    """Return a saved engine whose interpreter is the stand-in; `env` tells it what to do."""
    known = {
        "model": "org/model",
        "ray_worker_py_executable": STAND_IN,
        "vllm_serve_kwargs": default_serve_kwargs(),
        "vllm_serve_env_vars": default_serve_env_vars() | (env or {}),
        "device": Engine.Device.CPU,
        "drain_seconds": 0,
        "startup_timeout_seconds": 60,
    }
    return Engine.objects.create(name=name, **(known | fields))


def visit(engine: Engine, cluster: Cluster) -> Engine:
    """Reconcile once, and return the engine as it is then."""
    reconcile.reconcile_engine(engine.pk, cluster, now=timezone.now())
    return Engine.objects.get(pk=engine.pk)


def drive(engine: Engine, cluster: Cluster, *, until: State | Callable[[Engine], bool], seconds: float = 60) -> Engine:
    """Reconcile until the engine is in a state, or whatever else is asked; return it as it is then."""
    reached = until if callable(until) else lambda row: row.state == until
    deadline = time.monotonic() + seconds
    while not reached(row := visit(engine, cluster)):
        assert time.monotonic() < deadline, f"{row.state}: {row.state_reason} ({row.phase})\n{row.log_tail}"
        time.sleep(0.03)
    return row


def wanted(engine: Engine) -> Engine:
    """Start the engine as people do, and return it."""
    services.start(engine, by="test")
    return engine


def ready(cluster: Cluster, name: str = "tiny", **fields: Any) -> Engine:
    """Return a new engine that is ready."""
    return drive(wanted(make_engine(name, **fields)), cluster, until=State.READY)


def job_id(engine: Engine, generation: int) -> str:
    """Return the Ray job of one of its attempts."""
    return f"engine-{engine.pk}-{generation}-{installation()}"


def mark(engine: Engine) -> str:
    """Return what the processes of its current attempt carry."""
    return places.of_this_host().mark(engine.submission_id)


def endpoint_of(engine: Engine) -> Endpoint:
    """Return the endpoint by which the gateway knows it."""
    return Endpoint.objects.get(engine=engine)


def history(engine: Engine) -> list[str]:
    """Return the states that the engine went through, oldest first."""
    return [str(event.new) for event in engine.events.order_by("pk")]
