"""The ledger's SQL: plain statements, because building model instances would cost more than the writing itself.

Locks are taken in one order everywhere, so that workers on PostgreSQL wait for each other and never in a circle: the
profile's turn, then sessions by rising id, fingerprints in their order, conversations by rising id, the minute's usage.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from responses_api.balancing import in_turn
from responses_api.ledger import driver
from responses_api.ledger.rows import COLUMNS, REASON_LENGTH, Pin, PinRequest, Place, Repin, Row, storable, values
from responses_api.models import Fingerprint, PoolTurn, ResponseRecord, Session, SessionMove

SESSIONS, MOVES = Session._meta.db_table, SessionMove._meta.db_table
TURNS, RECORDS = PoolTurn._meta.db_table, ResponseRecord._meta.db_table

DAY = 24 * 3600
_CHUNK = 400  # parameters of one IN (…): SQLite allowed 999 for long

INSERT_RECORD = f"INSERT INTO {RECORDS} ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608
INSERT_SESSION = (
    f"INSERT INTO {SESSIONS} (profile_id, caller_id, key, endpoint_id, created_at, last_seen_at, requests, empties, "  # noqa: S608
    "errors, input_tokens, output_tokens, moves) VALUES (%s, %s, %s, %s, %s, %s, 0, 0, 0, 0, 0, 0)"
)
COUNT_SESSION = (
    f"UPDATE {SESSIONS} SET requests = requests + %s, empties = empties + %s, errors = errors + %s, "  # noqa: S608
    "input_tokens = input_tokens + %s, output_tokens = output_tokens + %s, "
    "last_seen_at = CASE WHEN last_seen_at > %s THEN last_seen_at ELSE %s END WHERE id = %s"
)
REMEMBER = (
    f"INSERT INTO {Fingerprint._meta.db_table} (digest, session_id, day) VALUES (%s, %s, %s) "  # noqa: S608
    "ON CONFLICT (digest, session_id) DO UPDATE SET day = excluded.day"
)
_CREATED_AT = COLUMNS.index("created_at")


def pin_all(cursor: CursorWrapper, wanted: Sequence[PinRequest]) -> dict[Place, Pin]:
    """Return the session of every place, making those that are missing: bound to the candidates in turn.

    The turn is counted in the database and its row is locked before the last look, so it is exact over all workers.
    """
    found: dict[Place, Pin] = {}
    by_profile: dict[int, list[PinRequest]] = defaultdict(list)
    for request in wanted:
        by_profile[request.place.profile_id].append(request)
    for profile_id in sorted(by_profile):
        requests = by_profile[profile_id]
        found |= _find(cursor, [request.place for request in requests if not request.fresh])
        missing = {request.place: request for request in requests if request.place not in found}
        if not missing:
            continue
        _lock_turn(cursor, profile_id)
        found |= _find(cursor, [place for place, request in missing.items() if not request.fresh])
        missing = {place: request for place, request in missing.items() if place not in found}
        _insert_sessions(cursor, profile_id, [*missing.values()])
        found |= _find(cursor, missing)
    return found


def _find(cursor: CursorWrapper, places: Iterable[Place]) -> dict[Place, Pin]:
    keys: dict[tuple[int, int], list[str]] = defaultdict(list)
    for place in places:
        keys[place.profile_id, place.caller_id].append(place.key)
    found: dict[Place, Pin] = {}
    for (profile_id, caller_id), wanted in keys.items():
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            cursor.execute(
                f"SELECT key, id, endpoint_id FROM {SESSIONS} WHERE profile_id = %s AND caller_id = %s "  # noqa: S608
                f"AND key IN ({', '.join(['%s'] * len(chunk))})",
                [profile_id, caller_id, *chunk],
            )
            for key, session_id, endpoint_id in cursor.fetchall():
                found[Place(profile_id, caller_id, key)] = Pin(session_id, endpoint_id)
    return found


def _insert_sessions(cursor: CursorWrapper, profile_id: int, requests: list[PinRequest]) -> None:
    turn = _take_turns(cursor, profile_id, sum(1 for request in requests if request.candidates))
    rows = []
    for request in requests:
        endpoint_id = None
        if request.candidates:
            endpoint_id = in_turn(request.candidates, request.weights, turn)
            turn += 1
        now = _time(request.now)
        rows.append((*request.place, endpoint_id, now, now))
    cursor.executemany(INSERT_SESSION, rows)


def _lock_turn(cursor: CursorWrapper, profile_id: int) -> None:
    cursor.execute(
        f"INSERT INTO {TURNS} (profile_id, taken) VALUES (%s, 0) ON CONFLICT (profile_id) DO NOTHING",  # noqa: S608
        [profile_id],
    )
    cursor.execute(f"UPDATE {TURNS} SET taken = taken WHERE profile_id = %s", [profile_id])  # noqa: S608


def _take_turns(cursor: CursorWrapper, profile_id: int, number: int) -> int:
    """Take so many turns of a locked row; return the first."""
    cursor.execute(f"SELECT taken FROM {TURNS} WHERE profile_id = %s", [profile_id])  # noqa: S608
    first = int(cursor.fetchone()[0])
    cursor.execute(f"UPDATE {TURNS} SET taken = %s WHERE profile_id = %s", [first + number, profile_id])  # noqa: S608
    return first


def repin(asked: Repin) -> Pin | None:
    """Bind the session anew in a transaction of its own, unless somebody was first or there is nobody to bind it to.

    Return how it is bound now; None if the session is gone. The first binding is no move.
    """
    if asked.session_id is None:  # it was bound while the database was away
        return None
    with transaction.atomic(), connection.cursor() as cursor:
        if asked.candidates:
            _lock_turn(cursor, asked.place.profile_id)
        cursor.execute(f"SELECT endpoint_id FROM {SESSIONS} WHERE id = %s", [asked.session_id])  # noqa: S608
        row = cursor.fetchone()
        if row is None:
            return None
        if row[0] != asked.old or not asked.candidates:
            return Pin(asked.session_id, row[0])
        new = in_turn(asked.candidates, asked.weights, _take_turns(cursor, asked.place.profile_id, 1))
        moved = asked.old is not None
        is_old, parameters = ("endpoint_id = %s", [asked.old]) if moved else ("endpoint_id IS NULL", [])
        cursor.execute(
            f"UPDATE {SESSIONS} SET endpoint_id = %s, moves = moves + %s WHERE id = %s AND {is_old}",  # noqa: S608
            [new, int(moved), asked.session_id, *parameters],
        )
        if moved and cursor.rowcount:
            cursor.execute(
                f"INSERT INTO {MOVES} (session_id, old_endpoint, new_endpoint, reason, at) "  # noqa: S608
                "VALUES (%s, %s, %s, %s, %s)",
                [
                    asked.session_id,
                    asked.old_name,
                    asked.candidates[new],
                    storable(asked.reason, REASON_LENGTH),
                    _time(asked.now),
                ],
            )
        return bindings(cursor, [asked.session_id]).get(asked.session_id)


def written(cursor: CursorWrapper, response_ids: Sequence[str]) -> set[str]:
    """Return which of them have a row."""
    found: set[str] = set()
    for start in range(0, len(response_ids), _CHUNK):
        chunk = response_ids[start : start + _CHUNK]
        cursor.execute(
            f"SELECT response_id FROM {RECORDS} WHERE response_id IN ({', '.join(['%s'] * len(chunk))})",  # noqa: S608
            chunk,
        )
        found.update(response_id for (response_id,) in cursor.fetchall())
    return found


def record_all(cursor: CursorWrapper, rows: Sequence[Row]) -> None:
    """Write the rows and count them in their sessions."""
    if not rows:
        return
    lines = [values(row) for row in rows]
    for found, at in zip(lines, driver.moments(cursor, [row.created_at for row in rows]), strict=True):
        found[_CREATED_AT] = at
    driver.execute_many(cursor, INSERT_RECORD, lines)
    counts: dict[int, list[Any]] = {}
    for row, found in zip(rows, lines, strict=True):
        if row.session_id is None:
            continue
        count = counts.setdefault(row.session_id, [0, 0, 0, 0, 0, None, None])
        count[0] += 1
        count[1] += bool(row.empty_cause)
        count[2] += row.status == ResponseRecord.Status.FAILED
        count[3] += row.input_tokens or 0
        count[4] += row.output_tokens or 0
        count[5] = count[6] = found[_CREATED_AT]
    if not counts:
        return
    driver.execute_many(cursor, COUNT_SESSION, [(*count, session_id) for session_id, count in sorted(counts.items())])
    if ends := sorted(
        (row.fingerprint, row.session_id, day_of(row.created_at))
        for row in rows
        if row.fingerprint is not None and row.session_id is not None
    ):
        driver.execute_many(cursor, REMEMBER, ends)


def bindings(cursor: CursorWrapper, session_ids: list[int]) -> dict[int, Pin]:
    """Return how sessions are bound now."""
    found: dict[int, Pin] = {}
    for start in range(0, len(session_ids), _CHUNK):
        chunk = session_ids[start : start + _CHUNK]
        # Padded, so that the statements are few and the database knows them all.
        chunk += chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))
        rows = driver.fetch_all(
            cursor,
            f"SELECT id, endpoint_id FROM {SESSIONS} WHERE id IN ({', '.join(['%s'] * len(chunk))})",  # noqa: S608
            chunk,
        )
        found |= {session_id: Pin(session_id, endpoint_id) for session_id, endpoint_id in rows}
    return found


def day_of(moment: datetime) -> int:
    """Return the day in days since 1970."""
    return int(moment.timestamp()) // DAY


def _time(moment: datetime) -> Any:
    """Return the moment as the database's driver takes it."""
    return connection.ops.adapt_datetimefield_value(moment)
