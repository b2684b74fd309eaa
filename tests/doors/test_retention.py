"""What is old leaves the ledger, a little at a time."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from launcher import tasks
from launcher.models import Engine, EngineEvent
from responses_api import retention
from responses_api.ledger import Ledger, Row
from responses_api.models import ResponseRecord, UsageMinute

pytestmark = pytest.mark.django_db(transaction=True)


def fill(number: int, *, days: float) -> None:
    """Let the ledger have so many rows that are so old."""
    at = timezone.now() - timedelta(days=days)
    rows = (
        ResponseRecord(
            response_id=f"resp_{days}_{each}",
            api="chat",
            profile_name="tiny",
            caller_name="caller",
            status="completed",
            http_status=200,
            duration_ms=1,
            created_at=at,
        )
        for each in range(number)
    )
    ResponseRecord.objects.bulk_create(rows, batch_size=1000)
    UsageMinute.objects.create(minute=at.replace(second=0, microsecond=0), first_at=at, last_at=at, requests=number)


def test_rows_leave_by_their_age_and_the_minutes_stay() -> None:
    for days in (100, 91, 89, 1):
        fill(30, days=days)
    assert retention.prune_ledger(0, 0) == 0
    assert retention.prune_ledger(90, 0, batch=25, pause=0) == 60
    assert ResponseRecord.objects.count() == 60
    assert UsageMinute.objects.count() == 4
    assert retention.prune_ledger(90, 95, pause=0) == 1
    assert UsageMinute.objects.count() == 3


def test_one_call_deletes_so_many_batches_and_leaves_the_rest() -> None:
    fill(30, days=100)
    assert retention.prune_ledger(90, 0, batch=10, max_batches=2, pause=0) == 20
    assert retention.prune_ledger(90, 0, batch=10, max_batches=2, pause=0) == 10


def test_pruning_never_stalls_the_writer() -> None:
    fill(20_000, days=100)
    is_done = threading.Event()

    def prune() -> None:
        try:
            retention.prune_ledger(90, 0)
        finally:
            connections.close_all()
            is_done.set()

    async def write() -> list[float]:
        ledger = Ledger()
        took: list[float] = []
        while not is_done.is_set():
            begun = time.monotonic()
            await ledger.record(
                Row(f"resp_new_{len(took)}", "chat", "tiny", "caller", datetime.now(UTC), status="completed"), None
            )
            took.append(time.monotonic() - begun)
            await asyncio.sleep(0.002)
        await ledger.close()
        return took

    thread = threading.Thread(target=prune)
    begun = time.monotonic()
    thread.start()
    took = asyncio.run(write())
    thread.join()
    whole = time.monotonic() - begun  # two seconds of pauses at least
    assert ResponseRecord.objects.count() == len(took) > 20
    assert max(took) < whole / 2, f"{max(took):.3f} s of {whole:.3f} s on {connection.vendor}"


def test_events_of_engines_leave_too_but_the_last_of_each_stays() -> None:
    now = timezone.now()
    for name, ages in (("one", (100, 95, 10)), ("two", (120, 110))):
        engine = Engine.objects.create(name=name, model="tiny")
        for age in ages:
            event = EngineEvent.objects.create(engine=engine, old="stopped", new="pending")
            EngineEvent.objects.filter(pk=event.pk).update(at=now - timedelta(days=age))
    tasks.prune()
    left = EngineEvent.objects.order_by("at").values_list("engine__name", "at")
    assert [(name, (now - at).days) for name, at in left] == [("two", 110), ("one", 10)]
