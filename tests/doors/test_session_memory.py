"""What sessions are known by, and how they are forgotten, on the real database."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from endpoints.models import ApiKey, ConfigProfile
from endpoints.pruning import BATCH
from responses_api import retention, store
from responses_api.ledger import Ledger, Place, Row
from responses_api.models import Fingerprint, ResponseRecord, Session, SessionMove

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC)


@pytest.fixture
def profile() -> ConfigProfile:
    return ConfigProfile.objects.create(name="tiny")


@pytest.fixture
def caller() -> ApiKey:
    return ApiKey.issue(name="caller")[0]


def row(number: int, session_id: int | None, fingerprint: int | None) -> Row:
    return Row(
        f"resp_{number}",
        "chat",
        "tiny",
        "caller",
        NOW,
        session_id=session_id,
        status="completed",
        fingerprint=fingerprint,
    )


def test_the_ends_of_answers_lead_to_the_session_in_this_process_and_in_others(
    profile: ConfigProfile, caller: ApiKey
) -> None:
    one, two = (Place(profile.pk, caller.pk, key) for key in ("one", "two"))
    largest, smallest = 2**63 - 1, -(2**63)

    answers: list[tuple[Place, list[int | None]]] = [(one, [largest, None, 5]), (two, [smallest, 5])]

    async def work() -> list[Any]:
        ledger = Ledger()
        for number, (place, ends) in enumerate(answers):
            pin = await ledger.pin(place, {}, NOW)
            rows = [row(10 * number + index, pin.session_id, end) for index, end in enumerate(ends)]
            for each in rows:
                await ledger.record(each, place)
        found = [ledger.recognised(ends) for ends in ([], [9], [9, largest, smallest], [5, largest])]
        await ledger.close()
        return found

    assert asyncio.run(work()) == [[], [], ["one"], ["one", "two"]]
    asked = [(9,), (9, largest, smallest), (smallest, largest), (5, largest)]
    assert [store.recognise(caller.pk, profile.pk, ends) for ends in asked] == [[], ["one"], ["two"], ["one", "two"]]
    assert store.recognise(caller.pk + 1, profile.pk, (largest,)) == []
    assert store.recognise(caller.pk, profile.pk + 1, (largest,)) == []


def test_what_is_known_is_bounded(profile: ConfigProfile, caller: ApiKey) -> None:
    place = Place(profile.pk, caller.pk, "one")

    async def work() -> list[bool]:
        ledger = Ledger(max_known=2)
        pin = await ledger.pin(place, {}, NOW)
        for number in range(1, 4):
            await ledger.record(row(number, pin.session_id, number), place)
        found = [ledger.recognised([number]) != [] for number in range(1, 4)]
        await ledger.close()
        return found

    assert asyncio.run(work()) == [False, True, True]


def test_idle_sessions_are_forgotten_and_their_ledger_rows_stay(profile: ConfigProfile, caller: ApiKey) -> None:
    def session(number: int, idle_days: float) -> Session:
        seen = NOW - timedelta(days=idle_days)
        made = Session.objects.create(
            profile=profile, caller=caller, key=f"s{number}", created_at=seen, last_seen_at=seen
        )
        SessionMove.objects.create(session=made, old_endpoint="a", new_endpoint="b", reason="dead", at=seen)
        ResponseRecord.objects.create(
            response_id=f"resp_{number}",
            api="chat",
            profile_name="tiny",
            caller_name="caller",
            session=made,
            status="completed",
            http_status=200,
            duration_ms=1,
            created_at=seen,
        )
        return made

    used = session(0, 6.9)
    for number in range(1, 8):
        session(number, 7.1)
    week = timedelta(days=7)
    assert retention.expire_sessions(week, batch=3, max_batches=1, pause=0) == 3
    assert retention.expire_sessions(week, batch=3, pause=0) == 4
    assert retention.expire_sessions(week, batch=3, pause=0) == 0
    assert [*Session.objects.all()] == [used]
    assert SessionMove.objects.get().session == used
    assert (ResponseRecord.objects.count(), ResponseRecord.objects.filter(session=None).count()) == (8, 7)


def test_a_session_with_many_rows_is_forgotten_a_few_at_a_time(profile: ConfigProfile, caller: ApiKey) -> None:
    seen = NOW - timedelta(days=8)
    made = Session.objects.create(profile=profile, caller=caller, key="long", created_at=seen, last_seen_at=seen)
    ResponseRecord.objects.bulk_create(
        ResponseRecord(
            response_id=f"resp_{number}",
            api="chat",
            profile_name="tiny",
            caller_name="caller",
            session=made,
            status="completed",
            http_status=200,
            duration_ms=1,
            created_at=seen,
        )
        for number in range(2 * BATCH + 1)
    )
    with CaptureQueriesContext(connection) as asked:
        assert retention.expire_sessions(timedelta(days=7), pause=0) == 1
    updates = [query["sql"] for query in asked if query["sql"].startswith("UPDATE")]
    assert len(updates) == 3
    assert (ResponseRecord.objects.count(), ResponseRecord.objects.filter(session=None).count()) == (1001, 1001)


def test_old_answers_are_forgotten_and_one_that_leaves_again_is_new(profile: ConfigProfile, caller: ApiKey) -> None:
    place = Place(profile.pk, caller.pk, "one")
    today = int(NOW.timestamp()) // 86_400
    Fingerprint.objects.bulk_create(Fingerprint(digest=age, session_id=10**9, day=today - age) for age in range(12))

    async def work() -> int | None:
        ledger = Ledger()
        pin = await ledger.pin(place, {}, NOW)
        await ledger.record(row(1, pin.session_id, 11), place)
        await ledger.close()
        return pin.session_id

    session_id = asyncio.run(work())
    week = timedelta(days=7)
    assert retention.expire_fingerprints(week, batch=2, max_batches=1, pause=0) == 2
    assert retention.expire_fingerprints(week, batch=2, pause=0) == 2
    assert {*Fingerprint.objects.values_list("digest", flat=True)} == {*range(8), 11}
    assert store.recognise(caller.pk, profile.pk, (11,)) == ["one"]
    assert Fingerprint.objects.filter(digest=11).values_list("session_id", flat=True).get() == session_id
    assert store.recognise(caller.pk, profile.pk, (0,)) == []  # its session is deleted
