"""The ledger while its database is away: the spool, on a real disk, and its way back into the real database."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import Sum

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.errors import NotStoredError, UnavailableError
from responses_api.ledger import Away, Ledger, NamedItem, Pin, Place, Row, Stored, Writer, replay, spool
from responses_api.ledger.away import choose
from responses_api.ledger.batch import InDoubtError, Job, commit
from responses_api.ledger.rows import Binding, Repin
from responses_api.ledger.spool import Spool, SpoolFullError
from responses_api.models import Conversation, ResponseRecord, Session, SessionMove, StoredResponse, UsageMinute
from tests.web.gateway_server import until

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def place() -> Place:
    profile = ConfigProfile.objects.create(name="tiny")
    for name in ("a", "b", "c"):
        profile.endpoints.add(Endpoint.objects.create(name=name, base_url=f"http://{name}/v1"))
    return Place(profile.pk, ApiKey.issue(name="caller")[0].pk, "known")


@pytest.fixture
def pool(place: Place) -> dict[int, str]:
    return dict(Endpoint.objects.values_list("pk", "name"))


def row(number: int, session_id: int | None = None, **columns: Any) -> Row:
    given = {"status": "completed", "input_tokens": 3, "output_tokens": 2, **columns}
    return Row(f"resp_{number}", "responses", "tiny", "caller", NOW, session_id=session_id, **given)


def body(number: int, **columns: Any) -> Stored:
    given: dict[str, Any] = {
        "response_id": f"resp_{number}",
        "caller_id": 1,
        "caller_name": "caller",
        "profile_name": "tiny",
        "session_key": "known",
        "status": "completed",
        "previous_response_id": "",
        "conversation_id": "",
        "background": False,
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=30),
        "lease_until": None,
        "body": b'{"output": "\xc3\xa9"}',
        "input": b'"hi"',
    }
    return Stored(**{**given, **columns})


class Database:
    """The real one, which can be away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.loses_answers = 0  # of so many commits nobody hears that they were done

    def write(self, jobs: Sequence[Job]) -> None:
        self.check()
        commit(jobs)
        if self.loses_answers:
            self.loses_answers -= 1
            raise InDoubtError("the connection is gone")

    def check(self) -> None:
        if self.is_away:
            raise OperationalError("the database is away")

    def away(self, folder: Path, **options: Any) -> Away:
        return Away(folder, **{"write": self.write, "check": self.check, "retry_seconds": 0.02, **options})

    def run(self, work: Callable[[Ledger], Awaitable[None]], away: Away) -> None:
        """Do async work with a ledger over this database."""

        async def main() -> None:
            ledger = Ledger(writer=Writer(write=self.write, away=away))
            try:
                await work(ledger)
            finally:
                await ledger.close()

        asyncio.run(main())


async def back(ledger: Ledger) -> None:
    """Return once the ledger goes to the database again."""
    await asyncio.to_thread(until, lambda: not ledger.is_away)


def check_counts() -> None:
    """Sessions and minutes agree with the ledger's rows."""
    for session in Session.objects.all():
        rows = ResponseRecord.objects.filter(session=session)
        sums = rows.aggregate(Sum("input_tokens"), Sum("output_tokens"))
        assert session.requests == rows.count()
        assert session.input_tokens == (sums["input_tokens__sum"] or 0)
        assert session.output_tokens == (sums["output_tokens__sum"] or 0)
    assert (UsageMinute.objects.aggregate(Sum("requests"))["requests__sum"] or 0) == ResponseRecord.objects.count()


def test_an_entry_is_the_same_behind_the_spool(place: Place, pool: dict[int, str]) -> None:
    entries: list[Row | Repin] = [
        row(1),
        row(2, 7, detail="é\n\x00", fingerprint=-(2**63), binding=Binding(place, 2, NOW)),
        row(3, stored=body(3, named_items=[NamedItem("item", b"{}")], conversation_items=[NamedItem("two", b"[]")])),
        Repin(place, 7, 1, "a", {2: "b"}, "gone", NOW),
    ]
    assert [spool.decode(spool.encode(entry)) for entry in entries] == entries


def test_half_a_character_does_not_keep_a_row_out_of_the_spool() -> None:
    found = spool.decode(spool.encode(row(1, detail="\ud800" + "x" * 2000)))
    assert isinstance(found, Row)
    assert found.detail == "?" + "x" * 999


def test_rows_go_to_the_spool_and_from_there_into_the_database(
    place: Place, pool: dict[int, str], tmp_path: Path
) -> None:
    database = Database()
    new = place._replace(key="new")

    async def work(ledger: Ledger) -> None:
        pin = await ledger.pin(place, pool, NOW)
        await ledger.record(row(1, pin.session_id), place)
        database.is_away = True
        await asyncio.gather(*(ledger.record(row(n, pin.session_id, stored=body(n)), place) for n in range(2, 40)))
        assert ledger.is_away
        assert ledger.known(place) == pin
        bound = await ledger.pin(new, pool, NOW, fresh=True)
        assert bound.session_id is None
        assert bound.endpoint_id in pool
        assert ledger.known(new) == bound
        await asyncio.gather(*(ledger.record(row(n), new) for n in range(40, 50)))
        with pytest.raises(UnavailableError, match="needs Roundhouse's database"):
            await ledger.change(lambda: None)
        database.is_away = False
        await back(ledger)
        assert ledger.known(new) is None  # a pin without a row counts no longer
        real = await ledger.pin(new, {}, NOW)
        assert real.session_id is not None
        assert real.endpoint_id == bound.endpoint_id
        await ledger.record(row(50, real.session_id), new)

    database.run(work, database.away(tmp_path))
    assert [*tmp_path.iterdir()] == []
    assert ResponseRecord.objects.count() == 50
    assert StoredResponse.objects.count() == 38
    assert dict(Session.objects.values_list("key", "requests")) == {"known": 39, "new": 11}
    check_counts()


def test_a_session_moves_without_the_database_and_with_its_reason(
    place: Place, pool: dict[int, str], tmp_path: Path
) -> None:
    database = Database()
    first, *others = sorted(pool)
    new = place._replace(key="new")

    async def work(ledger: Ledger) -> None:
        pin = await ledger.pin(place, {first: "a"}, NOW)
        database.is_away = True
        rest = {pk: pool[pk] for pk in others}
        moved = await ledger.repin(place, pin, old_name="a", candidates=rest, reason="dead", now=NOW)
        assert moved.endpoint_id in others
        assert ledger.known(place) == moved
        assert await ledger.repin(place, moved, old_name="b", candidates={}, reason="none", now=NOW) == moved
        unnamed = await ledger.pin(new, {first: "a"}, NOW)
        again = await ledger.repin(new, unnamed, old_name="a", candidates={others[0]: "b"}, reason="dead", now=NOW)
        assert again == Pin(None, others[0])
        await ledger.record(row(1), new)
        database.is_away = False
        await back(ledger)
        assert await ledger.pin(place, {}, NOW) == moved

    database.run(work, database.away(tmp_path))
    move = SessionMove.objects.get()
    assert (move.session.key, move.old_endpoint, move.reason) == (place.key, "a", "dead")
    assert Session.objects.get(key="new").endpoint_id == others[0]


def test_a_request_that_began_without_the_database_may_end_with_it(
    place: Place, pool: dict[int, str], tmp_path: Path
) -> None:
    database = Database(is_away=True)
    moving = place._replace(key="moving")

    async def work(ledger: Ledger) -> None:
        bound = await ledger.pin(place, pool, NOW)
        unnamed = await ledger.pin(moving, pool, NOW)
        database.is_away = False
        await back(ledger)
        await ledger.record(row(1), place)
        known = ledger.known(place)
        assert known is not None
        assert known.session_id is not None
        assert known.endpoint_id == bound.endpoint_id
        await ledger.record(row(2), place)
        moved = await ledger.repin(moving, unnamed, old_name="a", candidates=pool, reason="dead", now=NOW)
        assert moved.session_id is not None

    database.run(work, database.away(tmp_path))
    assert Session.objects.get(key=place.key).requests == 2
    check_counts()


def test_all_processes_bind_a_new_session_alike_and_spread_them(place: Place, pool: dict[int, str]) -> None:
    keys = [place._replace(key=f"key-{number}") for number in range(300)]
    chosen = [choose(key, pool, {}) for key in keys]
    assert chosen == [choose(key, dict(reversed(pool.items())), {}) for key in keys]
    assert all(70 < count < 130 for count in Counter(chosen).values())
    assert choose(place, {}, {}) is None


def test_what_a_killed_process_left_is_replayed_by_whoever_comes_first(place: Place, tmp_path: Path) -> None:
    session = Session.objects.create(
        profile_id=place.profile_id, caller_id=place.caller_id, key="known", created_at=NOW, last_seen_at=NOW
    )
    killed = Spool.new(tmp_path)
    killed.append([spool.encode(row(n, session.pk, stored=body(n))) for n in range(1200)], max_bytes=2**30)
    with killed.path.open("ab") as file:
        file.write(spool.encode(row(1200, session.pk))[:-20])  # it was killed here
    assert replay.adopt(tmp_path) == 0  # it lives
    killed.close()
    commit([Job(row(5, session.pk))])  # this had reached the database already

    async def work(ledger: Ledger) -> None:
        await ledger.record(row(2000, session.pk), None)
        await asyncio.to_thread(until, lambda: not [*tmp_path.iterdir()], seconds=60)

    database = Database()
    database.run(work, database.away(tmp_path))
    assert ResponseRecord.objects.count() == 1201
    assert StoredResponse.objects.count() == 1199
    check_counts()


def test_a_replay_that_is_cut_off_begins_again_and_counts_nothing_twice(place: Place, tmp_path: Path) -> None:
    database = Database()
    talk = Conversation.objects.create(conversation_id="conv_1", caller_id=1, caller_name="caller", created_at=NOW)
    left = Spool.new(tmp_path)
    stored = {"conversation_id": "conv_1", "conversation_items": [NamedItem("item", b"{}")]}
    rows = [row(n, stored=body(n, **stored), binding=Binding(place, None, NOW)) for n in range(1100)]
    left.append([spool.encode(each) for each in rows], max_bytes=2**30)
    left.close()
    for _ in range(2):
        database.loses_answers = 1
        with pytest.raises(OperationalError):
            replay.adopt(tmp_path, database.write)
    assert ResponseRecord.objects.count() == 500
    assert replay.adopt(tmp_path, database.write) == 1100
    assert talk.items.count() == ResponseRecord.objects.count() == 1100
    assert Session.objects.get().requests == 1100
    check_counts()


def test_a_commit_of_which_nobody_hears_is_not_done_twice(place: Place, pool: dict[int, str], tmp_path: Path) -> None:
    database = Database()

    async def work(ledger: Ledger) -> None:
        database.loses_answers = 1
        pin = await ledger.pin(place, pool, NOW, fresh=True)
        database.loses_answers = 1
        await asyncio.gather(*(ledger.record(row(n, pin.session_id, stored=body(n)), place) for n in range(20)))
        database.loses_answers = 2  # nor of the second try, so that they go to the spool as well
        await asyncio.gather(*(ledger.record(row(n, pin.session_id, stored=body(n)), place) for n in range(20, 40)))
        await back(ledger)
        database.loses_answers = 1
        with pytest.raises(UnavailableError, match="may be done, or not"):
            await ledger.change(lambda: None)

    database.run(work, database.away(tmp_path))
    assert ResponseRecord.objects.count() == StoredResponse.objects.count() == 40
    assert Session.objects.get().requests == 40
    check_counts()


def test_what_the_database_refuses_is_set_aside(tmp_path: Path) -> None:
    left = Spool.new(tmp_path)
    bad = spool.encode(row(2, input_tokens=2**70))
    left.append([spool.encode(row(1)), bad, b"what is this?\n", spool.encode(row(3))], max_bytes=2**30)
    left.close()
    assert replay.adopt(tmp_path) == 4
    assert sorted(ResponseRecord.objects.values_list("response_id", flat=True)) == ["resp_1", "resp_3"]
    assert sorted((tmp_path / spool.REFUSED).read_bytes().splitlines(keepends=True)) == sorted(
        [bad, b"what is this?\n"]
    )
    assert [path.name for path in tmp_path.iterdir()] == [spool.REFUSED]


def test_a_full_spool_refuses_with_the_reason(tmp_path: Path) -> None:
    database = Database(is_away=True)
    line = spool.encode(row(1))

    async def work(ledger: Ledger) -> None:
        await ledger.record(row(1), None)
        assert ledger.trouble == ""
        with pytest.raises(UnavailableError, match="may hold"):
            await ledger.record(row(2), None)
        assert "neither to its database nor to its data directory" in ledger.trouble
        database.is_away = False
        await back(ledger)
        assert ledger.trouble == ""
        await ledger.record(row(3), None)

    database.run(work, database.away(tmp_path, max_bytes=len(line) + 10))
    assert sorted(ResponseRecord.objects.values_list("response_id", flat=True)) == ["resp_1", "resp_3"]


def test_what_does_not_fit_leaves_no_half_line_behind(tmp_path: Path) -> None:
    own = Spool.new(tmp_path)
    own.append([b"one\n"], max_bytes=10)
    with pytest.raises(SpoolFullError):
        own.append([b"two\n", b"three\n"], max_bytes=10)
    own.append([b"four\n"], max_bytes=10)
    assert own.read(0) == ([b"one\n", b"four\n"], 9)
    own.remove()


def test_without_a_spool_requests_are_refused() -> None:
    async def work(ledger: Ledger) -> None:
        with pytest.raises(UnavailableError, match="could not record"):
            await ledger.record(row(1), None)
        assert not ledger.is_away

    Database(is_away=True).run(work, Away(None))


def test_closing_leaves_the_spool_to_whoever_comes_next(tmp_path: Path) -> None:
    database = Database(is_away=True)

    async def work(ledger: Ledger) -> None:
        ledger.record_soon(row(1))
        ledger.record_soon(row(2))

    database.run(work, database.away(tmp_path))
    assert not ResponseRecord.objects.exists()
    assert replay.adopt(tmp_path) == 2
    assert ResponseRecord.objects.count() == 2


def test_what_is_not_found_may_be_on_its_way(tmp_path: Path) -> None:
    other = Spool.new(tmp_path)
    other.append([spool.encode(row(1, stored=body(1)))], max_bytes=2**30)

    async def work(ledger: Ledger) -> None:
        with pytest.raises(UnavailableError, match="not in Roundhouse's database yet"), ledger.nothing_missing():
            raise NotStoredError("Response", "resp_1")
        other.remove()
        with pytest.raises(NotStoredError), ledger.nothing_missing():
            raise NotStoredError("Response", "resp_2")

    database = Database()
    database.run(work, database.away(tmp_path))
