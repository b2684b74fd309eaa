"""Circuits, when the database is away that processes share them by."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from endpoints.models import Endpoint
from responses_api.circuits import Circuits
from responses_api.directory import Directory
from responses_api.ledger import Ledger
from responses_api.ledger.batch import Job, commit
from responses_api.ledger.writer import Writer

pytestmark = pytest.mark.django_db(transaction=True)


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not await asyncio.to_thread(_asked, true):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def _asked(question: Callable[[], object]) -> object:
    try:
        return question()
    finally:
        connections.close_all()


def test_what_was_found_out_meanwhile_is_shared_once_the_database_is_back() -> None:
    """And from then on, what others find out counts here again."""
    away, unreachable = True, {"circuit_cause": "unreachable", "circuit_reason": "No connection.", "circuit_trips": 1}
    Endpoint.objects.create(name="a", base_url="http://a/v1", circuit_until=timezone.now(), **unreachable)
    endpoint = Endpoint.objects.get()

    def flaky(jobs: Sequence[Job]) -> None:
        if away:
            raise OperationalError("the database is away")
        commit(jobs)

    async def work() -> None:
        nonlocal away
        directory, ledger = Directory(refresh_seconds=0.2), Ledger(writer=Writer(write=flaky))
        circuits = Circuits(directory, ledger)
        await directory.snapshot()
        circuits.answered(endpoint.pk)
        assert await circuits.let_in(endpoint.pk) == (True, False)
        await asyncio.sleep(0.3)
        away = False
        await until(lambda: not Endpoint.objects.get().circuit_cause)
        await until(lambda: circuits.are_closed)
        later = timezone.now() + timedelta(hours=1)
        await asyncio.to_thread(_asked, lambda: Endpoint.objects.update(circuit_until=later, **unreachable))
        await until(lambda: not circuits.are_closed)
        assert await circuits.let_in(endpoint.pk) == (False, False)
        for door in (circuits, ledger, directory):
            await door.close()

    asyncio.run(work())
