"""The SQL that stores responses, beside their ledger rows and in their transaction.

Conversations are locked by rising id, after the sessions, so that workers wait for each other and never in a circle;
and so that the items of two answers never mix.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.backends.utils import CursorWrapper

from responses_api.ledger import driver
from responses_api.ledger.rows import STORED_COLUMNS, NamedItem, Stored, stored_values
from responses_api.models import Conversation, StoredItem, StoredResponse

RESPONSES, ITEMS = StoredResponse._meta.db_table, StoredItem._meta.db_table
CONVERSATIONS = Conversation._meta.db_table

INSERT_RESPONSE = (
    f"INSERT INTO {RESPONSES} ({', '.join(STORED_COLUMNS)}) VALUES ({', '.join(['%s'] * len(STORED_COLUMNS))})"  # noqa: S608
)
# What was cancelled, deleted or given up meanwhile stays so.
END_RESPONSE = (
    f"UPDATE {RESPONSES} SET status = %s, body = %s, session_key = %s, lease_until = NULL "  # noqa: S608
    "WHERE response_id = %s AND status IN ('queued', 'in_progress') RETURNING id"
)
INSERT_ITEM = (
    f"INSERT INTO {ITEMS} (item_id, caller_id, conversation_id, response_id, expires_at, body) "  # noqa: S608
    "VALUES (%s, %s, %s, %s, %s, %s)"
)
LOCK_CONVERSATION = (
    f"UPDATE {CONVERSATIONS} SET created_at = created_at WHERE conversation_id = %s AND caller_id = %s RETURNING id"  # noqa: S608
)
_TIMES = [STORED_COLUMNS.index(name) for name in ("created_at", "expires_at", "lease_until")]


def keep_all(cursor: CursorWrapper, rows: Sequence[Stored]) -> None:
    """Write the responses and their items. One that ran in the background is there already, and ends."""
    if not rows:
        return
    ended = [row for row in rows if not row.background or _end(cursor, row)]
    insert_all(cursor, [row for row in rows if not row.background])
    for row in sorted((row for row in ended if row.conversation_items), key=lambda row: row.conversation_id):
        _append(cursor, row)


def insert_all(cursor: CursorWrapper, rows: Sequence[Stored]) -> None:
    """Write responses that are not there yet."""
    if not rows:
        return
    driver.execute_many(cursor, INSERT_RESPONSE, [_values(cursor, row) for row in rows])
    for row in rows:
        if row.named_items:
            _insert_items(cursor, row, row.named_items, None)


def _values(cursor: CursorWrapper, row: Stored) -> list[Any]:
    values = [*stored_values(row)]
    for place in _TIMES:
        values[place] = driver.moment(cursor, values[place])
    return values


def _end(cursor: CursorWrapper, row: Stored) -> bool:
    """Return whether it was still running."""
    return bool(driver.fetch_all(cursor, END_RESPONSE, [row.status, row.body, row.session_key, row.response_id]))


def _append(cursor: CursorWrapper, row: Stored) -> None:
    """Append to the conversation, unless it was deleted meanwhile."""
    place: list[str | int] = [row.conversation_id, row.caller_id]
    if found := driver.fetch_all(cursor, LOCK_CONVERSATION, place):
        _insert_items(cursor, row, row.conversation_items, int(found[0][0]))


def _insert_items(cursor: CursorWrapper, row: Stored, items: Iterable[NamedItem], conversation: int | None) -> None:
    """Write items. Those of conversations stay when their response expires."""
    expires_at = None if conversation else driver.moment(cursor, row.expires_at)
    driver.execute_many(
        cursor,
        INSERT_ITEM,
        [(item.item_id, row.caller_id, conversation, row.response_id, expires_at, item.body) for item in items],
    )
