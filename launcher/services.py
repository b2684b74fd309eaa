"""What people and scripts may ask of an engine. Each function writes a wish; the reconciler makes it so."""

import logging

from celery import current_app
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import KombuError

from endpoints.models import Endpoint
from launcher import command
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
    if problems := command.check_config(engine.vllm_serve_kwargs, engine.vllm_serve_env_vars):
        raise EngineConfigError(problems)
    waiting = Q(desired_state=Desired.STOPPED) | Q(state=State.FAILED, failures__gt=0)
    return _wish(engine, Engine.objects.filter(waiting), Desired.RUNNING, by)


def stop(engine: Engine, *, by: str) -> bool:
    """Wish the engine stopped; `by` says who asked. Return whether that changed anything."""
    return _wish(engine, Engine.objects.exclude(desired_state=Desired.STOPPED), Desired.STOPPED, by)


def delete(engine: Engine) -> None:
    """Delete a stopped engine and the endpoint it owns.

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


def _wish(engine: Engine, affected: models.QuerySet[Engine], desired: Desired, by: str) -> bool:
    now = timezone.now()
    changed = affected.filter(pk=engine.pk).update(desired_state=desired, desired_at=now, failures=0)
    if not changed:
        return False
    logger.info("Engine %s: %s wants it %s.", engine.name, by, desired)
    engine.refresh_from_db(fields=["desired_state", "desired_at", "failures"])
    transaction.on_commit(lambda: nudge(engine.pk))
    return True
