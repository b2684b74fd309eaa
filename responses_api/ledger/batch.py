"""Tasks that are done together, in one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from responses_api.ledger import driver, statements, stored, usage
from responses_api.ledger.rows import Binding, Change, PinRequest, Repin, Row

Task = PinRequest | Repin | Row | Change

# What is raised while the database is away, locked, full, or a copy that may only be read. Anything else is about the
# entry itself.
AWAY = (OperationalError, InterfaceError, InternalError)


class InDoubtError(OperationalError):
    """The database went away during a commit: nobody can say whether it is done."""


@dataclass(slots=True)
class Job:
    """A task, who waits for it (nobody, if the caller has left), and what came of it. `again`: it may be done already,
    because the database went away in the middle of it.
    """

    task: Task
    waiter: asyncio.Future[Any] | None = None
    result: Any = None
    error: Exception | None = None
    again: bool = False


Write = Callable[[Sequence[Job]], None]


def commit(jobs: Sequence[Job]) -> None:
    """Do the jobs' tasks in one transaction and set their results. Re-pins are rare and have one each.

    Re-pins come first: they may be done twice. A row must not be, so nothing that can fail comes after its commit.

    Raises:
        InDoubtError: if they may be done, or not.
        DatabaseError: if they are not.
    """
    for job in jobs:
        if isinstance(job.task, Repin):
            job.result = statements.repin(job.task)
    pins = [(job, task) for job in jobs if isinstance(task := job.task, PinRequest)]
    records = [(job, task) for job in jobs if isinstance(task := job.task, Row)]
    changes = [(job, task) for job in jobs if isinstance(task := job.task, Change)]
    if not (pins or records or changes):
        return
    committing = False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _pin(cursor, pins, [row for _, row in records if row.binding is not None])
            if changes:  # which ask how many rows they changed: a pipeline does not say
                written = _record(cursor, records)
                for job, change in changes:
                    job.result = change.work()
                _count(cursor, records, written)
            elif records:
                with driver.pipelined(cursor):
                    _count(cursor, records, _record(cursor, records))
            committing = True
    except AWAY as error:
        if committing:
            raise InDoubtError(*error.args) from error
        raise


def _pin(cursor: CursorWrapper, pins: Sequence[tuple[Job, PinRequest]], bound: Sequence[Row]) -> None:
    """Find the sessions that are asked for, and those of rows that were bound without the database; or make them."""
    wanted = [replace(request, fresh=False) if job.again else request for job, request in pins]
    wanted += [_as_bound(row.binding) for row in bound if row.binding is not None]
    if not wanted:
        return
    found = statements.pin_all(cursor, wanted)
    for job, request in pins:
        job.result = found[request.place]
    for row in bound:
        if row.binding is not None:
            row.session_id = found[row.binding.place].session_id


def _as_bound(binding: Binding) -> PinRequest:
    candidates = {} if binding.endpoint_id is None else {binding.endpoint_id: ""}
    return PinRequest(binding.place, candidates, binding.at)


def _record(cursor: CursorWrapper, records: Sequence[tuple[Job, Row]]) -> list[Row]:
    """Write the rows and what is stored with them; return those that were not there already."""
    if not records:
        return []
    rows = [row for _, row in records]
    if unsure := [row.response_id for job, row in records if job.again]:
        known = statements.written(cursor, unsure)
        rows = [row for row in rows if row.response_id not in known]
    statements.record_all(cursor, rows)
    stored.keep_all(cursor, [row.stored for row in rows if row.stored is not None])
    return rows


def _count(cursor: CursorWrapper, records: Sequence[tuple[Job, Row]], written: Sequence[Row]) -> None:
    """Count what was written, and let whoever waits for a row know how its session is bound now.

    This comes last, because all processes count in the same few rows.
    """
    usage.count(cursor, written)
    sessions = {row.session_id for _, row in records if row.session_id is not None}
    found = statements.bindings(cursor, [*sessions])
    for job, row in records:
        job.result = found.get(row.session_id) if row.session_id else None
