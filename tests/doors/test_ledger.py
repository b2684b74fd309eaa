"""The ledger, on the real database, with a thread for every "process" that shares it."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection, connections, transaction

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.errors import UnavailableError
from responses_api.ledger import Ledger, Pin, Place, Row
from responses_api.ledger.batch import Job, commit
from responses_api.ledger.rows import COLUMNS, Repin
from responses_api.ledger.writer import Writer
from responses_api.models import PoolTurn, ResponseRecord, Session, SessionMove

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def profile() -> ConfigProfile:
    made = ConfigProfile.objects.create(name="tiny")
    for name in ("a", "b"):
        made.endpoints.add(Endpoint.objects.create(name=name, base_url=f"http://{name}/v1"))
    return made


@pytest.fixture
def pool(profile: ConfigProfile) -> dict[int, str]:
    return {endpoint.pk: endpoint.name for endpoint in profile.endpoints.all()}


@pytest.fixture
def caller() -> ApiKey:
    return ApiKey.issue(name="caller")[0]


def run(work: Callable[[Ledger], Awaitable[T]], ledger: Ledger | None = None) -> T:
    """Do async work with a ledger of its own, as one web process does."""

    async def main() -> T:
        used = ledger or Ledger()
        try:
            return await work(used)
        finally:
            await used.close()

    return asyncio.run(main())


def row(number: int, session_id: int | None = None, **columns: Any) -> Row:
    return Row(
        f"resp_{number}",
        "responses",
        "tiny",
        "caller",
        NOW,
        session_id=session_id,
        **{"status": "completed", **columns},
    )


def test_the_row_has_every_column_of_the_model() -> None:
    columns = {field.column for field in ResponseRecord._meta.concrete_fields} - {"id"}
    assert set(COLUMNS) == columns


def test_what_is_queued_together_is_committed_together_and_counted_exactly(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    commits: list[int] = []

    def counting(jobs: Sequence[Job]) -> None:
        commits.append(len(jobs))
        commit(jobs)

    async def work(ledger: Ledger) -> None:
        place = Place(profile.pk, caller.pk, "one")
        pin = await ledger.pin(place, pool, NOW)
        await asyncio.gather(
            *(
                ledger.record(
                    row(
                        number,
                        pin.session_id,
                        input_tokens=3,
                        output_tokens=2,
                        empty_cause="no_tokens" if number % 4 == 0 else "",
                        status="failed" if number % 10 == 0 else "completed",
                    ),
                    place,
                )
                for number in range(200)
            )
        )

    run(work, Ledger(writer=Writer(write=counting)))
    assert sum(commits) == 201
    assert len(commits) < 20
    assert ResponseRecord.objects.count() == 200
    session = Session.objects.get()
    assert (session.requests, session.empties, session.errors) == (200, 50, 20)
    assert (session.input_tokens, session.output_tokens, session.last_seen_at) == (600, 400, NOW)


def test_new_sessions_take_turns_and_known_ones_stay(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    places = [Place(profile.pk, caller.pk, f"key-{number}") for number in range(7)]

    async def work(ledger: Ledger) -> list[list[Pin]]:
        first = [await ledger.pin(place, pool, NOW) for place in places]
        again = [await ledger.pin(place, dict.fromkeys([max(pool)], "b"), NOW) for place in places]
        return [first, again, [pin for place in places if (pin := ledger.known(place))]]

    first, again, known = run(work)
    low, high = sorted(pool)
    assert [pin.endpoint_id for pin in first] == [low, high, low, high, low, high, low]
    assert first == again == known
    assert PoolTurn.objects.get().taken == 7


def test_one_key_is_a_session_for_each_caller_and_profile(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    other = ApiKey.issue(name="other")[0]
    second = ConfigProfile.objects.create(name="second")
    places = [Place(p.pk, c.pk, "same") for p in (profile, second) for c in (caller, other)]

    async def work(ledger: Ledger) -> list[Pin]:
        return list(await asyncio.gather(*(ledger.pin(place, pool, NOW) for place in places)))

    assert len({pin.session_id for pin in run(work)}) == 4


def test_a_session_may_begin_without_an_engine(profile: ConfigProfile, pool: dict[int, str], caller: ApiKey) -> None:
    place = Place(profile.pk, caller.pk, "early")

    async def work(ledger: Ledger) -> list[Pin]:
        pin = await ledger.pin(place, {}, NOW)
        still = await ledger.repin(place, pin, old_name="", candidates={}, reason="none", now=NOW)
        bound = await ledger.repin(place, still, old_name="", candidates=pool, reason="one is there", now=NOW)
        return [pin, still, bound]

    pin, still, bound = run(work)
    assert pin.endpoint_id is None
    assert still == pin
    assert bound == Pin(pin.session_id, min(pool))
    assert Session.objects.get().moves == 0
    assert not SessionMove.objects.exists()


def test_processes_that_race_agree_and_take_exact_turns(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    """Four processes pin the same 50 keys, and 25 fresh ones each, at once."""
    started = threading.Barrier(4)

    def process(number: int) -> list[Pin]:
        async def work(ledger: Ledger) -> list[Pin]:
            shared = [Place(profile.pk, caller.pk, f"shared-{key}") for key in range(50)]
            own = [Place(profile.pk, caller.pk, f"own-{number}-{key}") for key in range(25)]
            started.wait()
            pins = asyncio.gather(*(ledger.pin(place, pool, NOW) for place in shared))
            fresh = asyncio.gather(*(ledger.pin(place, pool, NOW, fresh=True) for place in own))
            await fresh
            return list(await pins)

        return run(work)

    with ThreadPoolExecutor(4) as executor:
        views = list(executor.map(process, range(4)))
    assert all(view == views[0] for view in views)
    assert Session.objects.count() == 150
    assert PoolTurn.objects.get().taken == 150
    assert Counter(Session.objects.values_list("endpoint_id", flat=True)) == dict.fromkeys(pool, 75)


def test_of_two_that_move_a_session_one_wins_and_both_know(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    place = Place(profile.pk, caller.pk, "moving")
    third = Endpoint.objects.create(name="c", base_url="http://c/v1")

    async def begin(ledger: Ledger) -> Pin:
        return await ledger.pin(place, pool, NOW)

    pin = run(begin)
    others = {**{pk: name for pk, name in pool.items() if pk != pin.endpoint_id}, third.pk: "c"}
    started = threading.Barrier(2)

    def process(_: int) -> Pin:
        async def work(ledger: Ledger) -> Pin:
            started.wait()
            return await ledger.repin(
                place, pin, old_name=pool[pin.endpoint_id or 0], candidates=others, reason="it is gone", now=NOW
            )

        return run(work)

    with ThreadPoolExecutor(2) as executor:
        one, two = executor.map(process, range(2))
    assert one == two
    assert one.endpoint_id in others
    move = SessionMove.objects.get()
    assert (move.old_endpoint, move.reason, move.at) == (pool[pin.endpoint_id or 0], "it is gone", NOW)
    assert move.new_endpoint == others[one.endpoint_id]
    assert Session.objects.get().moves == 1


def test_a_commit_tells_that_another_process_moved_the_session(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    place = Place(profile.pk, caller.pk, "moved")

    async def work(ledger: Ledger) -> tuple[Pin, Pin | None]:
        pin = await ledger.pin(place, pool, NOW)
        other = Ledger()
        rest = {pk: name for pk, name in pool.items() if pk != pin.endpoint_id}
        moved = await other.repin(place, pin, old_name="a", candidates=rest, reason="dead", now=NOW)
        await other.close()
        assert ledger.known(place) == pin
        await ledger.record(row(1, pin.session_id), place)
        return moved, ledger.known(place)

    moved, known = run(work)
    assert moved == known


def test_a_session_that_is_deleted_begins_anew(profile: ConfigProfile, pool: dict[int, str], caller: ApiKey) -> None:
    place = Place(profile.pk, caller.pk, "deleted")

    async def work(ledger: Ledger) -> tuple[Pin, Pin | None, Pin]:
        pin = await ledger.pin(place, pool, NOW)
        await asyncio.to_thread(_in_a_thread, lambda: Session.objects.all().delete())
        await ledger.record(row(1, pin.session_id), place)
        known = ledger.known(place)
        return pin, known, await ledger.repin(place, pin, old_name="a", candidates=pool, reason="dead", now=NOW)

    pin, known, anew = run(work)
    assert known is None
    assert anew.session_id != pin.session_id
    assert ResponseRecord.objects.get().session_id == pin.session_id


def _in_a_thread(work: Callable[[], Any]) -> None:
    try:
        work()
    finally:
        connections.close_all()


def test_an_entry_that_the_database_refuses_harms_no_other() -> None:
    twice = row(5)

    async def work(ledger: Ledger) -> list[Any]:
        rows = [row(1), twice, replace(twice), row(2, http_status=None), row(3, input_tokens=2**70), row(4)]
        return list(await asyncio.gather(*(ledger.record(one, None) for one in rows), return_exceptions=True))

    outcome = run(work)
    assert [type(one) for one in outcome] == [
        *(type(None), type(None), UnavailableError, UnavailableError, UnavailableError, type(None)),
    ]
    assert sorted(ResponseRecord.objects.values_list("response_id", flat=True)) == ["resp_1", "resp_4", "resp_5"]


def test_texts_are_cut_and_cleaned_for_every_database() -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.record(row(1, detail="\x00\ud800é" + "x" * 2000, finish_reason="y" * 99), None)

    run(work)
    found = ResponseRecord.objects.get()
    assert found.detail == "\N{REPLACEMENT CHARACTER}?é" + "x" * 997
    assert found.finish_reason == "y" * 40


def test_a_database_that_comes_back_is_used_again() -> None:
    away = True

    def flaky(jobs: Sequence[Job]) -> None:
        if away:
            raise OperationalError("the database is away")
        commit(jobs)

    async def work(ledger: Ledger) -> None:
        nonlocal away
        with pytest.raises(UnavailableError) as caught:
            await ledger.record(row(1), None)
        assert caught.value.status == 503
        away = False
        await ledger.record(row(2), None)

    run(work, Ledger(writer=Writer(write=flaky)))
    assert ResponseRecord.objects.get().response_id == "resp_2"


def test_a_batch_may_be_written_again_wherever_the_database_went_away(
    profile: ConfigProfile, pool: dict[int, str], caller: ApiKey
) -> None:
    class AwayOnce(dict[int, str]):
        asked = 0

        def __len__(self) -> int:
            self.asked += 1
            if self.asked == 1:
                raise OperationalError("the database is away")
            return super().__len__()

    place = Place(profile.pk, caller.pk, "moving")
    session = Session.objects.create(
        profile=profile, caller=caller, key=place.key, endpoint_id=min(pool), created_at=NOW, last_seen_at=NOW
    )
    others = AwayOnce({max(pool): "b"})
    batch = [Job(row(1, session.pk)), Job(Repin(place, session.pk, min(pool), "a", others, "dead", NOW))]
    with pytest.raises(OperationalError):
        commit(batch)
    commit(batch)
    assert [job.result for job in batch] == [Pin(session.pk, max(pool))] * 2
    session.refresh_from_db()
    assert (session.requests, session.moves, ResponseRecord.objects.count()) == (1, 1, 1)


def test_a_locked_database_is_waited_for() -> None:
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE responses_api_responserecord IN EXCLUSIVE MODE")
            locked.set()
            release.wait(60)

    async def work(ledger: Ledger) -> float:
        holding = asyncio.create_task(asyncio.to_thread(_in_a_thread, hold))
        await asyncio.to_thread(locked.wait)
        started = time.monotonic()
        asyncio.get_running_loop().call_later(0.5, release.set)
        await ledger.record(row(1), None)
        await holding
        return time.monotonic() - started

    assert 0.4 < run(work) < 30
    assert ResponseRecord.objects.count() == 1


def test_a_full_queue_refuses_at_once_and_memory_is_bounded() -> None:
    taken, go_on = threading.Event(), threading.Event()

    def slow(jobs: Sequence[Job]) -> None:
        taken.set()
        go_on.wait(60)
        commit(jobs)

    async def work(ledger: Ledger) -> None:
        first = asyncio.create_task(ledger.record(row(0), None))
        await asyncio.to_thread(taken.wait)
        rest = [asyncio.create_task(ledger.record(row(number), None)) for number in range(1, 4)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="queue is full"):
            await ledger.record(row(9), None)
        ledger.record_soon(row(10))  # logged, not raised
        go_on.set()
        await asyncio.gather(first, *rest)

    run(work, Ledger(writer=Writer(write=slow, max_queue=3)))
    assert ResponseRecord.objects.count() == 4


def test_known_pins_are_bounded(profile: ConfigProfile, pool: dict[int, str], caller: ApiKey) -> None:
    async def work(ledger: Ledger) -> list[bool]:
        places = [Place(profile.pk, caller.pk, f"key-{number}") for number in range(4)]
        for place in places:
            await ledger.pin(place, pool, NOW)
            ledger.known(places[0])
        return [ledger.known(place) is not None for place in places]

    assert run(work, Ledger(max_known=2)) == [True, False, False, True]


def test_what_a_caller_left_behind_is_written_and_closing_writes_the_rest() -> None:
    async def work(ledger: Ledger) -> None:
        leaving = asyncio.create_task(ledger.record(row(1), None))
        await asyncio.sleep(0)
        leaving.cancel()
        for number in range(2, 50):
            ledger.record_soon(row(number))

    run(work)
    assert ResponseRecord.objects.count() == 49
