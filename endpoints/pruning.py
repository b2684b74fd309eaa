"""Deleting what is old, a little at a time, so that whoever writes beside it hardly waits."""

import time
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

BATCH = 500
PAUSE = 0.05  # seconds between two batches
MAX_BATCHES = 200


def delete_in_batches(
    old: Callable[[], QuerySet[Any]], *, batch: int = BATCH, max_batches: int = MAX_BATCHES, pause: float = PAUSE
) -> int:
    """Delete the rows that a query returns, in its order and in short transactions; return how many rows went.

    What is left after `max_batches` waits for the next call.
    """
    deleted = 0
    for _ in range(max_batches):
        rows = old()
        keys = [*rows.values_list("pk", flat=True)[:batch]]
        if keys:
            deleted += rows.model._base_manager.filter(pk__in=keys).delete()[0]
        if len(keys) < batch:
            break
        time.sleep(pause)
    return deleted
