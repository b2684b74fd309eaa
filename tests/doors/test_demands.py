"""What other processes ask of what is limited, when nobody can say any more."""

import asyncio
import time

import pytest
from django.db import OperationalError
from django.utils import timezone

from responses_api.directory import Directory, load
from responses_api.models import Demand
from responses_api.snapshot import Snapshot

pytestmark = pytest.mark.django_db(transaction=True)


def test_others_count_for_nothing_once_the_database_has_been_away_for_a_while() -> None:
    """Else a key whose limit another process had used up would be refused here until it is back."""
    Demand.objects.create(process="other", subject="key:1", running=9, minute=0, requests=0, seen_at=timezone.now())
    away = False

    def flaky() -> Snapshot:
        if away:
            raise OperationalError("the database is away")
        return load()

    async def work() -> float:
        nonlocal away
        directory = Directory(read=flaky, refresh_seconds=0.2, stale_seconds=1)
        await directory.snapshot()
        assert directory.demands["key:1"][0].running == 9
        away, began = True, time.monotonic()
        while directory.demands:  # noqa: ASYNC110  (nobody says when)
            await asyncio.sleep(0.05)
        assert (await directory.snapshot()).demands  # which serves on otherwise
        await directory.close()
        return time.monotonic() - began

    assert 0.2 < asyncio.run(work()) < 5
