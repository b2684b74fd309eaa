"""What people and scripts may ask of an engine. Each function writes a wish; the reconciler makes it so."""

import logging
from collections.abc import Iterable
from typing import Any

from celery import current_app
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import KombuError

from endpoints.models import ConfigProfile, Endpoint
from endpoints.services import change_pools
from launcher import checks, command, places
from launcher.models import Engine
from launcher.states import Desired, State

logger = logging.getLogger(__name__)

RECONCILE_TASK = "launcher.reconcile_engine"
BROKER_SECONDS = 2  # a person waits for the answer
NUDGE_SECONDS = 60  # a worker that comes back later has no use for the message


class EngineConfigError(Exception):
    """The engine's settings cannot be launched; `problems` says which, each with its fix."""

    def __init__(self, problems: list[command.Problem]) -> None:
        self.problems = problems
        super().__init__(" ".join(problem.message for problem in problems))


class EngineBusyError(Exception):
    """The engine still runs, or is still wanted; the message says what to do first."""


def start(engine: Engine, *, by: str) -> bool:
    """Wish the engine running; `by` says who asked. Return whether that changed anything.

    A failed engine that is wanted already is tried again at once, and its count of failures begins anew.

    Raises:
        EngineConfigError: if its settings cannot be launched; nothing is changed then.
    """
    _check(engine)
    waiting = Q(desired_state=Desired.STOPPED) | Q(state=State.FAILED, failures__gt=0)
    return _wish(engine, Engine.objects.filter(waiting), by, desired_state=Desired.RUNNING, delete_asked=False)


def stop(engine: Engine, *, by: str) -> bool:
    """Wish the engine stopped; `by` says who asked. Return whether that changed anything."""
    wanted = Engine.objects.exclude(desired_state=Desired.STOPPED)
    return _wish(engine, wanted, by, desired_state=Desired.STOPPED)


def restart(engine: Engine, *, by: str) -> bool:
    """Wish the launch that there is replaced by one with the settings of now. Return whether that changed anything.

    It drains, stops and starts again; where another engine serves the same profile, one after the other. An engine
    that does not run is started.

    Raises:
        EngineConfigError: if its settings cannot be launched; nothing is changed then.
    """
    if engine.desired_state == Desired.STOPPED or engine.state == State.FAILED:
        return start(engine, by=by)
    _check(engine)
    running = Engine.objects.filter(
        desired_state=Desired.RUNNING,
        state__in=[State.STARTING, State.READY, State.UNHEALTHY],
        generation=engine.generation,
    ).exclude(restart_of=engine.generation)
    return _wish(engine, running, by, restart_of=engine.generation)


def can_restart(engine: Engine) -> bool:
    """Return whether there is a launch that a restart would replace, and that was not asked for yet."""
    running = engine.state in {State.STARTING, State.READY, State.UNHEALTHY}
    return running and engine.desired_state == Desired.RUNNING and not engine.restart_asked


def follow_links(engine: Engine, before: Iterable[ConfigProfile]) -> None:
    """Bring an engine's endpoint into the pools of the profiles that are linked now, and out of those that were before.

    A profile whose model the engine does not serve yet is joined by the launch that serves it.
    """
    endpoint = Endpoint.objects.defer("api_key").filter(engine=engine).first()
    if endpoint is None:
        return
    known, linked = set(before), set(engine.profiles.all())
    join = linked - known if engine.state in {State.READY, State.UNHEALTHY} else set()
    with transaction.atomic():
        change_pools(endpoint, join=join, leave=known - linked)


def stop_and_delete(engine: Engine, *, by: str) -> bool:
    """Wish the engine stopped and then deleted, with its endpoint. Return whether that changed anything."""
    not_asked = Engine.objects.filter(delete_asked=False)
    return _wish(engine, not_asked, by, desired_state=Desired.STOPPED, delete_asked=True)


def delete(engine: Engine) -> None:
    """Delete a stopped engine, the endpoint it owns, and its logs on this host.

    Raises:
        EngineBusyError: if it is not stopped, or is wanted.
    """
    with transaction.atomic():
        idle = Engine.objects.filter(pk=engine.pk, state=State.STOPPED, desired_state=Desired.STOPPED)
        row = idle.select_for_update().first()
        if row is None:
            raise EngineBusyError(f"Engine {engine.name} is not stopped. Stop it first, and wait until it is.")
        owned = Endpoint.objects.defer("api_key").filter(engine=row).first()  # its key may be unreadable
        row.delete()
        if owned is not None:
            owned.delete()
        transaction.on_commit(lambda: places.of_this_host().forget_logs(engine.name))


def take_over(name: str) -> bool:
    """Let whoever looks at it look after an engine whose host is gone, with the Ray that it had: it has failed then.

    Return False if there is no such engine of another host.
    """
    engine = Engine.objects.filter(name=name).exclude(base_url="").first()
    if engine is None or not places.is_other_host(engine.ray_host):
        return False
    return Engine.objects.filter(pk=engine.pk, ray_host=engine.ray_host).update(ray_host="") > 0


def nudge(engine_id: int) -> None:
    """Ask the worker to look at an engine now. If the broker does not take it, the periodic visit comes anyway."""
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
            current_app.send_task(
                RECONCILE_TASK, [engine_id], connection=connection, retry=False, expires=NUDGE_SECONDS
            )
    except (KombuError, OSError) as error:
        logger.warning("Engine %s: the broker took no message (%s); the periodic visit will come.", engine_id, error)


def _check(engine: Engine) -> None:
    if problems := checks.problems(engine.vllm_serve_kwargs, engine.vllm_serve_env_vars, engine.interpreter):
        raise EngineConfigError(problems)


def _wish(engine: Engine, affected: models.QuerySet[Engine], by: str, **wish: Any) -> bool:
    written = {**wish, "desired_at": timezone.now(), "failures": 0}
    if not affected.filter(pk=engine.pk).update(**written):
        return False
    logger.info("Engine %s: %s wants %s.", engine.name, by, ", ".join(f"{name}={wish[name]}" for name in wish))
    engine.refresh_from_db(fields=list(written))
    transaction.on_commit(lambda: nudge(engine.pk))
    return True
