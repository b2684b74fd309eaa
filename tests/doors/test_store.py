"""What is stored, on the real database: written with its ledger row, read in chains, given up, pruned."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
import pytest
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from responses_api import retention, store
from responses_api.convert.kept import References
from responses_api.convert.paging import Paging
from responses_api.errors import PreviousResponseNotFoundError, RequestError, UnavailableError
from responses_api.ledger import Ledger, NamedItem, Row, Stored, changes
from responses_api.ledger.changes import DOUBT_SECONDS
from responses_api.models import Conversation, ResponseRecord, StoredItem, StoredResponse
from responses_api.store import Store

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
CALLER = 1


def resource(response_id: str, status: str, text: str) -> bytes:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": f"msg_{response_id}", "type": "message", "role": "assistant", "content": [part]}
    return msgspec.json.encode({"id": response_id, "status": status, "output": [message]})


def stored(response_id: str, previous: str = "", **columns: Any) -> Stored:
    status = columns.get("status", "completed")
    given: dict[str, Any] = {
        "caller_id": CALLER,
        "caller_name": "caller",
        "profile_name": "tiny",
        "session_key": "mine",
        "status": status,
        "conversation_id": "",
        "background": False,
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=1),
        "lease_until": None,
        "body": resource(response_id, status, f"answer to {response_id}"),
        "input": msgspec.json.encode(f"asked in {response_id}"),
    }
    return Stored(response_id=response_id, previous_response_id=previous, **{**given, **columns})


def row(kept: Stored, **columns: Any) -> Row:
    given = {"api": "responses", "profile_name": "tiny", "caller_name": "caller", "created_at": NOW}
    return Row(response_id=kept.response_id, stored=kept, **{**given, "status": kept.status, **columns})


def write(*rows: Row) -> list[BaseException | None]:
    """Record the rows as one web process does, all at once; return what each raised."""

    async def work(ledger: Ledger) -> list[Any]:
        return list(await asyncio.gather(*(ledger.record(one, None) for one in rows), return_exceptions=True))

    return run(work)


def run(work: Callable[[Ledger], Awaitable[T]]) -> T:
    async def main() -> T:
        ledger = Ledger()
        try:
            return await work(ledger)
        finally:
            await ledger.close()

    return asyncio.run(main())


def texts(found: store.Recalled) -> list[str]:
    return [part["text"] for item in found.history for part in item["content"]]


def chain(length: int, **columns: Any) -> None:
    write(
        *(row(stored(f"resp_{number}", f"resp_{number - 1}" if number else "", **columns)) for number in range(length))
    )


def test_a_response_and_its_ledger_row_are_there_together_or_not_at_all() -> None:
    good, bad = stored("resp_1"), stored("resp_2", status=None)
    raised = write(row(good), row(bad, status="completed"))
    assert [type(one) for one in raised] == [type(None), UnavailableError]
    assert [*StoredResponse.objects.values_list("response_id", flat=True)] == ["resp_1"]
    assert [*ResponseRecord.objects.values_list("response_id", flat=True)] == ["resp_1"]
    found = StoredResponse.objects.get()
    assert (found.created_at, found.expires_at) == (NOW, NOW + timedelta(days=1))
    assert bytes(found.body) == good.body


def test_a_chain_is_read_from_its_beginning() -> None:
    chain(3)
    found = store.recall(CALLER, References("resp_2"))
    assert texts(found) == [
        text for number in range(3) for text in (f"asked in resp_{number}", f"answer to resp_{number}")
    ]
    assert found.session_key == "mine"


def test_a_long_chain_is_read_quickly_and_one_that_is_too_long_is_refused() -> None:
    chain(500)
    started = time.monotonic()
    with CaptureQueriesContext(connection) as asked:
        assert len(store.recall(CALLER, References("resp_499")).history) == 1000
    assert time.monotonic() - started < 10
    assert len(asked) < 5  # that is what makes it quick
    StoredResponse.objects.all().delete()
    rows = [
        StoredResponse(
            response_id=f"resp_{number}",
            previous_response_id=f"resp_{number - 1}" if number else "",
            caller_id=CALLER,
            status="completed",
            created_at=NOW,
            body=b'{"output":[]}',
            input=b'""',
        )
        for number in range(store.MAX_CHAIN + 2)
    ]
    StoredResponse.objects.bulk_create(rows)
    with pytest.raises(RequestError, match="at most"):
        store.recall(CALLER, References(f"resp_{store.MAX_CHAIN + 1}"))


def test_a_circle_ends() -> None:
    chain(3)
    StoredResponse.objects.filter(response_id="resp_0").update(previous_response_id="resp_2")
    with pytest.raises(RequestError, match="at most"):
        store.recall(CALLER, References("resp_2"))


@pytest.mark.parametrize(
    "change",
    [{"caller_id": 2}, {"expires_at": NOW - timedelta(days=1)}, {"response_id": "resp_other"}],
)
@pytest.mark.parametrize("broken", ["resp_0", "resp_1", "resp_2"])
def test_a_chain_with_a_gap_is_not_there(broken: str, change: dict[str, Any]) -> None:
    chain(3)
    StoredResponse.objects.filter(response_id=broken).update(**change)
    with pytest.raises(PreviousResponseNotFoundError) as caught:
        store.recall(CALLER, References("resp_2"))
    assert broken in caught.value.message


def test_items_are_appended_in_order_whoever_writes_at_the_same_time() -> None:
    """Four processes answer in one conversation at once: no turn is torn apart."""
    Conversation.objects.create(conversation_id="conv_1", caller_id=CALLER, caller_name="caller", created_at=NOW)
    started = threading.Barrier(4)

    def process(number: int) -> None:
        turns = []
        for turn in range(10):
            items = [NamedItem(f"msg_{number}_{turn}_{place}", b'{"id":"x"}') for place in range(3)]
            kept = stored(f"resp_{number}_{turn}", conversation_id="conv_1", conversation_items=items)
            turns.append(row(kept))
        started.wait()
        assert write(*turns) == [None] * 10

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(process, range(4)))
    ids = [*StoredItem.objects.order_by("pk").values_list("item_id", flat=True)]
    assert len(ids) == 120
    turns = [ids[start : start + 3] for start in range(0, 120, 3)]
    assert all([item[-1] for item in turn] == ["0", "1", "2"] for turn in turns)
    assert all(len({item.rpartition("_")[0] for item in turn}) == 1 for turn in turns)
    page = store.conversation_page(CALLER, "conv_1", Paging(limit=100))
    assert page is not None
    assert (len(page["data"]), page["has_more"]) == (100, True)


def test_an_end_that_nobody_waits_for_any_more_changes_nothing() -> None:
    begun = stored("resp_1", status="in_progress", background=True, lease_until=NOW)
    ended = stored("resp_1", background=True)

    async def work(ledger: Ledger) -> bool:
        await ledger.change(partial(changes.begin, begun))
        assert not await ledger.change(partial(changes.cancel, 2, "resp_1"))
        assert await ledger.change(partial(changes.cancel, CALLER, "resp_1"))
        await ledger.record(row(ended), None)
        return await ledger.change(partial(changes.cancel, CALLER, "resp_1"))

    assert not run(work)
    assert StoredResponse.objects.get().status == "cancelled"


def test_what_nobody_works_on_is_given_up_once() -> None:
    past, future = NOW - timedelta(seconds=1), NOW + timedelta(hours=1)

    async def work(ledger: Ledger) -> None:
        for name, until in (("resp_lost", past), ("resp_alive", future)):
            await ledger.change(
                partial(changes.begin, stored(name, status="in_progress", background=True, lease_until=until))
            )

    run(work)
    assert retention.give_up_lost() == 0  # it may be that the database was away
    StoredResponse.objects.filter(doubted_at__isnull=False).update(doubted_at=past - timedelta(seconds=DOUBT_SECONDS))
    assert retention.give_up_lost() == 1
    assert retention.give_up_lost() == 0
    assert dict(StoredResponse.objects.values_list("response_id", "status")) == {
        "resp_lost": "failed",
        "resp_alive": "in_progress",
    }
    assert ResponseRecord.objects.get().error_code == "process_lost"


def test_what_has_expired_is_pruned_in_batches_and_the_rest_stays() -> None:
    past = NOW - timedelta(days=1)
    item = [NamedItem("msg_mine", b"{}")]
    write(
        *(row(stored(f"resp_old_{number}", expires_at=past, named_items=item)) for number in range(7)),
        row(stored("resp_new", named_items=item)),
        row(stored("resp_for_ever", expires_at=None, named_items=item)),
    )
    conversation = Conversation.objects.create(
        conversation_id="conv_1", caller_id=CALLER, caller_name="caller", created_at=past
    )
    StoredItem.objects.create(item_id="msg_2", caller_id=CALLER, conversation=conversation, body=b"{}")
    assert retention.prune(batch=3, max_batches=1, pause=0) == 6
    assert retention.prune(batch=3, pause=0) == 8
    assert retention.prune(batch=3, pause=0) == 0
    assert {*StoredResponse.objects.values_list("response_id", flat=True)} == {"resp_new", "resp_for_ever"}
    assert StoredItem.objects.count() == 3


def test_a_database_that_is_away_is_told_and_one_that_comes_back_is_used() -> None:
    away = 0

    def read() -> int:
        nonlocal away
        if away:
            away -= 1
            raise OperationalError("the database is away")
        return StoredResponse.objects.count()

    async def main() -> list[Any]:
        nonlocal away
        door = Store()
        try:
            found: list[Any] = [await door.read(read)]
            away = 1
            found.append(await door.read(read))
            away = 2
            with pytest.raises(UnavailableError) as caught:
                await door.read(read)
            found.append(caught.value.status)
            found += await asyncio.gather(*(door.read(read) for _ in range(20)))
            return found
        finally:
            await door.close()

    try:
        assert asyncio.run(main()) == [0, 0, 503, *[0] * 20]
    finally:
        connections.close_all()
