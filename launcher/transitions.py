"""The only writer of an engine's observed state. Every write is a compare-and-set.

A move names what the caller believed (the state and generation of the row it holds) and does nothing if the row has
moved on: a stale belief loses quietly and returns False. An illegal move raises: it is a bug. The event is written in
the same transaction as the move, so history has no gaps and no doubles.

The row that was passed in is brought up to date when, and only when, the write was done.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from launcher import queries, states
from launcher.models import Engine, EngineEvent
from launcher.queries import Claim
from launcher.states import Desired, State

MAX_REASON = 1000  # characters, as in the models
MAX_PHASE = 1000


def move(
    engine: Engine,
    new: State,
    *,
    reason: str,
    now: dt.datetime,
    failures: int | None = None,
    log_tail: str | None = None,
) -> bool:
    """Move an engine on. Return False if another process moved it first.

    `failures` is the new count of failures in a row; `log_tail` the last lines of the attempt. Either may be left as it
    is. An attempt's port, key and nodes are forgotten once nothing is left of it.

    Raises:
        IllegalMoveError: if the table has no such move.
    """
    old = State(engine.state)
    states.check_move(old, new)
    changes: dict[str, Any] = {"state": new, "state_reason": reason[:MAX_REASON], "state_since": now}
    changes |= {"phase": "", "progress": {}}
    if failures is not None:
        changes["failures"] = failures
    if log_tail is not None:
        changes["log_tail"] = log_tail
    if new in {State.PENDING, State.STOPPED}:
        changes |= {"base_url": "", "api_key": "", "placement": {}}
    with transaction.atomic():
        if not _write(engine, changes):
            return False
        if new == State.READY:
            _close_restart(engine)
        EngineEvent.objects.create(
            engine_id=engine.pk,
            old=old,
            new=new,
            reason=reason[:MAX_REASON],
            generation=engine.generation,
            log_tail=(log_tail or "") if new == State.FAILED else "",
        )
    return True


def _close_restart(engine: Engine) -> None:
    """Forget the restart that this launch came of, so that others of its profiles may begin; a newer one stays."""
    if engine.restart_of is not None and not engine.restart_asked:
        Engine.objects.filter(pk=engine.pk, restart_of__lt=engine.generation).update(restart_of=None)
        engine.restart_of = None


def claim(
    engine: Engine,
    *,
    base_url: str,
    api_key: str,
    placement: Mapping[str, Any],
    ray_host: str,
    beside: Sequence[Claim],
) -> bool:
    """Begin a new attempt: count the generation up, and write down where it will be, before anything is submitted.

    Return False if another process claimed it first, or if it is not wanted any more, or if the attempts that it was
    placed beside are not those that there are: so no two ever take the same GPU or port.
    """
    changes = {
        "generation": engine.generation + 1,
        "base_url": base_url,
        "api_key": api_key,
        "placement": dict(placement),
        "ray_host": ray_host,
        "launched": queries.digests(engine),
    }
    with transaction.atomic():
        queries.lock_all()
        return queries.claims() == list(beside) and _write(engine, changes, desired_state=Desired.RUNNING, base_url="")


def note(engine: Engine, *, phase: str, progress: Mapping[str, Any] | None = None) -> bool:
    """Say how far it is, or what it waits for, without a move. Return whether that was news and was written."""
    said = {"phase": phase[:MAX_PHASE], "progress": dict(progress or {})}
    return said != {"phase": engine.phase, "progress": engine.progress} and _write(engine, said)


def own(engine: Engine, endpoint_id: int) -> bool:
    """Remember which endpoint is the engine's. Return False if another process gave it one first."""
    return _write(engine, {"endpoint_id": endpoint_id}, endpoint_id=engine.endpoint_id)


def _write(engine: Engine, changes: dict[str, Any], **more: Any) -> bool:
    belief = {"pk": engine.pk, "state": engine.state, "generation": engine.generation, **more}
    if not Engine.objects.filter(**belief).update(**changes):
        return False
    for name, value in changes.items():
        setattr(engine, name, value)
    return True
