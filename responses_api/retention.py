"""What is stored does not stay for ever, and what nobody works on any more does not stay unfinished."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

from endpoints.pruning import BATCH, MAX_BATCHES, PAUSE, delete_in_batches
from responses_api.ledger import changes
from responses_api.ledger.statements import day_of
from responses_api.models import (
    Fingerprint,
    ResponseRecord,
    Session,
    SessionMove,
    StoredItem,
    StoredResponse,
    UsageMinute,
)

SESSIONS = 50  # a batch


def prune(**pace: Any) -> int:
    """Delete what has expired, in short transactions; return how many rows that were. `pace`: as of
    `delete_in_batches`.
    """
    now = timezone.now()
    return sum(_delete_until(kind, "expires_at", now, pace) for kind in (StoredResponse, StoredItem))


def prune_ledger(ledger_days: int, usage_days: int, **pace: Any) -> int:
    """Delete rows of the ledger, and sums of its minutes, that are older than so many days (0: none is too old);
    return how many. Sessions keep their counts.
    """
    now, deleted = timezone.now(), 0
    if ledger_days:
        deleted += _delete_until(ResponseRecord, "created_at", now - timedelta(days=ledger_days), pace)
    if usage_days:
        deleted += _delete_until(UsageMinute, "minute", now - timedelta(days=usage_days), pace)
    return deleted


def _delete_until(kind: type[models.Model], field: str, end: datetime | int, pace: dict[str, Any]) -> int:
    """Delete the rows whose time is past, the oldest first. The field has an index."""
    return delete_in_batches(lambda: kind._base_manager.filter(**{f"{field}__lte": end}).order_by(field), **pace)


def expire_sessions(
    idle: timedelta, *, batch: int = SESSIONS, max_batches: int = MAX_BATCHES, pause: float = PAUSE
) -> int:
    """Delete sessions that were idle for so long, with what they are known by; return how many. Their ledger rows stay.

    What is left after `max_batches` waits for the next call.
    """
    deleted = 0
    for _ in range(max_batches):
        idle_ones = Session.objects.filter(last_seen_at__lt=timezone.now() - idle)
        keys = [*idle_ones.order_by("last_seen_at").values_list("pk", flat=True)[:batch]]
        with transaction.atomic():
            # One that was used meanwhile stays. They are locked in the order of the ledger's writers.
            still = [*idle_ones.filter(pk__in=keys).order_by("pk").select_for_update().values_list("pk", flat=True)]
            SessionMove.objects.filter(session__in=still).delete()
            Session.objects.filter(pk__in=still)._raw_delete(connection.alias)  # noqa: SLF001  (rows forget it below)
        deleted += len(still)
        _forget_in_rows(still, pause)
        if len(keys) < batch:
            break
        time.sleep(pause)
    return deleted


def _forget_in_rows(sessions: Sequence[int], pause: float) -> None:
    """Let rows of the ledger forget sessions that are gone: a session may have a million of them."""
    rows = ResponseRecord.objects.filter(session_id__in=sessions).order_by()
    while keys := [*rows.values_list("pk", flat=True)[:BATCH]]:
        ResponseRecord.objects.filter(pk__in=keys).update(session=None)
        if len(keys) < BATCH:
            break
        time.sleep(pause)


def expire_fingerprints(idle: timedelta, **pace: Any) -> int:
    """Forget answers that left longer ago, by which conversations are known; return how many."""
    return _delete_until(Fingerprint, "day", day_of(timezone.now() - idle) - 1, pace)


def give_up_lost() -> int:
    """Let responses fail whose process is gone; return how many."""
    with transaction.atomic():
        return changes.give_up_lost(timezone.now())
