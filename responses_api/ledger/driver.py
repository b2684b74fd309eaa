"""Statements and moments as the database's driver takes them, without Django's work on each.

Django rewrites every statement for SQLite by a regular expression, each time, and looks half a dozen settings up for
every moment: together, half of what a small batch costs.
"""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db.backends.utils import CursorWrapper

SQLITE = "sqlite"


def execute(cursor: CursorWrapper, sql: str, parameters: Sequence[Any]) -> None:
    """Execute a statement. Raises Django's database errors."""
    if cursor.db.vendor != SQLITE:
        cursor.execute(sql, parameters)
        return
    with cursor.db.wrap_database_errors:
        sqlite3.Cursor.execute(cursor.cursor, _in_sqlite(sql), parameters)


def execute_many(cursor: CursorWrapper, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement for each row. Raises Django's database errors."""
    if cursor.db.vendor != SQLITE:
        cursor.executemany(sql, rows)
        return
    with cursor.db.wrap_database_errors:
        sqlite3.Cursor.executemany(cursor.cursor, _in_sqlite(sql), rows)


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
