"""Statements and moments as the database's driver takes them, without Django's work on each.

Django rewrites every statement for SQLite by a regular expression, each time, and looks half a dozen settings up for
every moment: together, half of what a small batch costs. On PostgreSQL it writes the values into each statement, and
waits for the answer to each before it sends the next.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db.backends.utils import CursorWrapper

SQLITE = "sqlite"


@contextmanager
def pipelined(cursor: CursorWrapper) -> Iterator[None]:
    """Send the statements of a block without waiting for the answer to each. How many rows one changed is not known.

    What is wrong with one of them is raised where the block ends, at the latest. Raises Django's database errors.
    """
    if cursor.db.vendor == SQLITE:
        yield
        return
    with cursor.db.wrap_database_errors, cursor.db.connection.pipeline():
        yield


def fetch_all(cursor: CursorWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Execute a statement and return its rows. Raises Django's database errors."""
    with cursor.db.wrap_database_errors:
        if cursor.db.vendor == SQLITE:
            sqlite3.Cursor.execute(cursor.cursor, _in_sqlite(sql), parameters)
            return list(cursor.cursor.fetchall())
        return list(_of_postgresql(cursor).execute(sql, parameters).fetchall())


def execute_many(cursor: CursorWrapper, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement for each row. Raises Django's database errors."""
    with cursor.db.wrap_database_errors:
        if cursor.db.vendor == SQLITE:
            sqlite3.Cursor.executemany(cursor.cursor, _in_sqlite(sql), rows)
        else:
            _of_postgresql(cursor).executemany(sql, rows)


def _of_postgresql(cursor: CursorWrapper) -> Any:
    """Return a cursor of the driver's own kind, which sends the values beside the statement."""
    return cursor.db.Database.Cursor(cursor.db.connection)


@cache
def _in_sqlite(sql: str) -> str:
    """Return a statement of ours, which are few, with SQLite's place holders."""
    return sql.replace("%s", "?")


def moments(cursor: CursorWrapper, found: Sequence[datetime]) -> list[Any]:
    """Return moments as columns take them."""
    if cursor.db.vendor != SQLITE:
        return [*found]
    return [str((at if at.tzinfo is UTC else at.astimezone(UTC)).replace(tzinfo=None)) for at in found]


def moment(cursor: CursorWrapper, at: datetime | None) -> Any:
    """Return a moment as a column takes it."""
    return None if at is None else moments(cursor, [at])[0]
