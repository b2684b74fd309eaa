"""The door through which the gateway reads what is stored: responses, their chains, items, conversations.

The only place beside `directory` where the gateway reads the ORM. What has expired, or belongs to another caller, is
not there.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.db import Error, InterfaceError, OperationalError, connection, connections
from django.db.models import Q, QuerySet

from responses_api.convert import kept, paging
from responses_api.convert.items import Item, as_items
from responses_api.convert.kept import CONTINUABLE, NUL, References
from responses_api.convert.paging import Paging
from responses_api.errors import (
    ItemNotFoundError,
    NotStoredError,
    PreviousResponseNotFoundError,
    RequestError,
    UnavailableError,
)
from responses_api.models import Conversation, Fingerprint, Session, StoredItem, StoredResponse

T = TypeVar("T")

THREADS = 4
MAX_CHAIN = 2_000
_CHUNK = 400  # parameters of one IN (…): SQLite allowed 999 for long

RESPONSES = StoredResponse._meta.db_table
# A chain of responses, the newest first. It cannot be a circle, because a response names one that was there before it.
CHAIN = f"""
WITH RECURSIVE chain(depth, id, previous) AS (
    SELECT 0, id, previous_response_id FROM {RESPONSES}
    WHERE response_id = %s AND caller_id = %s AND (expires_at IS NULL OR expires_at > %s)
    UNION ALL
    SELECT chain.depth + 1, before.id, before.previous_response_id
    FROM chain JOIN {RESPONSES} AS before ON before.response_id = chain.previous
    WHERE before.caller_id = %s AND (before.expires_at IS NULL OR before.expires_at > %s) AND chain.depth < {MAX_CHAIN}
)
SELECT one.response_id, one.status, one.session_key, one.previous_response_id, one.conversation_id, one.input, one.body
FROM chain JOIN {RESPONSES} AS one ON one.id = chain.id ORDER BY chain.depth
"""  # noqa: S608

RECOGNISE = (
    f"SELECT one.digest, session.key FROM {Fingerprint._meta.db_table} AS one "  # noqa: S608
    f"JOIN {Session._meta.db_table} AS session ON session.id = one.session_id "
    "WHERE one.digest IN ({}) AND session.caller_id = %s AND session.profile_id = %s ORDER BY session.id"
)

_input_decoder = msgspec.json.Decoder(str | list[Item])
_item_decoder = msgspec.json.Decoder(Item)


class _Output(msgspec.Struct):
    output: list[Item]


_output_decoder = msgspec.json.Decoder(_Output)


class Turn(NamedTuple):
    """A stored response as a chain needs it, column by column."""

    response_id: str
    status: str
    session_key: str
    previous_response_id: str
    conversation_id: str
    input: bytes
    body: bytes

    def items(self) -> list[Item]:
        """Return its own input and its output."""
        return [*as_items(_input_decoder.decode(self.input)), *output_of(self.body)]


@dataclass(slots=True)
class Recalled:
    """What a request refers to: the items before its own input, and those that it names by id."""

    history: list[Item] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    session_key: str = ""


def output_of(body: bytes) -> list[Item]:
    """Return the output of a stored resource."""
    return _output_decoder.decode(body).output


def input_of(row: StoredResponse) -> list[Item]:
    """Return a stored response's own input as the API shows it."""
    return kept.shown(_input_decoder.decode(bytes(row.input)), row.response_id)


def recall(caller_id: int, asked: References) -> Recalled:
    """Read what a request refers to.

    Raises:
        PreviousResponseNotFoundError: if a response of the chain is not there.
        NotStoredError: if the conversation is not.
        ItemNotFoundError: if an item is not, naming where in the input it stands.
        RequestError: if the previous response cannot be continued.
    """
    found = Recalled()
    if asked.items:
        _recall_items(caller_id, asked, found)
    if asked.previous_response_id is not None:
        _recall_chain(caller_id, asked.previous_response_id, found)
    elif asked.conversation_id is not None:
        conversation = None
        if NUL not in asked.conversation_id:
            conversation = find_conversation(caller_id, asked.conversation_id)
        if conversation is None:
            raise NotStoredError("Conversation", asked.conversation_id, param="conversation")
        found.history = _decoded(conversation.items.all())
        found.session_key = asked.conversation_id
    return found


def recognise(caller_id: int, profile_id: int, ends: Sequence[int]) -> list[str]:
    """Return the keys of the sessions that gave the newest of these answers that is known, by their ends; the latest
    session comes last.
    """
    with connection.cursor() as cursor:
        cursor.execute(RECOGNISE.format(", ".join(["%s"] * len(ends))), [*ends, caller_id, profile_id])
        rows = cursor.fetchall()
    known = {digest for digest, _ in rows}
    newest = next((end for end in ends if end in known), None)
    return [key for digest, key in rows if digest == newest]


def _recall_chain(caller_id: int, response_id: str, found: Recalled) -> None:
    if NUL in response_id:  # no database could be asked for it
        raise PreviousResponseNotFoundError(response_id)
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(CHAIN, [response_id, caller_id, now, caller_id, now])
        turns = [Turn(*row) for row in cursor.fetchall()]
    if not turns:
        raise PreviousResponseNotFoundError(response_id)
    newest, oldest = turns[0], turns[-1]
    if newest.status not in CONTINUABLE:
        raise RequestError(
            f"Previous response with id '{response_id}' cannot be continued: its status is '{newest.status}'.",
            param="previous_response_id",
        )
    if len(turns) > MAX_CHAIN:
        raise RequestError(f"A chain has at most {MAX_CHAIN} responses.", param="previous_response_id")
    if oldest.previous_response_id:  # one in the middle was deleted: without it the conversation would be another
        raise PreviousResponseNotFoundError(oldest.previous_response_id)
    found.session_key = newest.session_key
    found.history = _before(caller_id, oldest) if oldest.conversation_id else []
    for turn in reversed(turns):
        found.history += turn.items()


def _before(caller_id: int, turn: Turn) -> list[Item]:
    """Return the items of a turn's conversation that stood before it."""
    items = StoredItem.objects.filter(conversation__conversation_id=turn.conversation_id, caller_id=caller_id)
    own = items.filter(response_id=turn.response_id).order_by("pk").values_list("pk", flat=True).first()
    return _decoded(items.filter(pk__lt=own)) if own is not None else []


def _recall_items(caller_id: int, asked: References, found: Recalled) -> None:
    """Find the items: an id of ours names its response, any other has a row of its own."""
    wanted = {item_id for _, item_id in asked.items}
    responses = {response_id for item_id in wanted if (response_id := kept.origin(item_id))}
    keys: dict[str, str] = {}
    for chunk in _chunks(responses):
        for row in _live(StoredResponse.objects.filter(caller_id=caller_id, response_id__in=chunk)):
            items = [*input_of(row), *output_of(bytes(row.body))]
            mine = {item["id"]: item for item in items if item.get("id") in wanted}
            found.items |= mine
            keys |= dict.fromkeys(mine, row.session_key)
    for chunk in _chunks(item_id for item_id in wanted - found.items.keys() if NUL not in item_id):
        named = StoredItem.objects.filter(caller_id=caller_id, item_id__in=chunk).select_related("conversation")
        for row in _live(named):
            found.items[row.item_id] = _item_decoder.decode(bytes(row.body))
            if row.conversation is not None:
                keys[row.item_id] = row.conversation.conversation_id
    for index, item_id in asked.items:
        if item_id not in found.items:
            raise ItemNotFoundError(item_id, param=f"{asked.at}[{index}].id")
        found.session_key = keys.get(item_id) or found.session_key


def _live(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.filter(Q(expires_at=None) | Q(expires_at__gt=datetime.now(UTC)))


def _decoded(rows: Iterable[StoredItem]) -> list[Item]:
    return [_item_decoder.decode(bytes(row.body)) for row in rows]


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]


def find_response(caller_id: int, response_id: str) -> StoredResponse | None:
    """Return a response of the caller's."""
    found: StoredResponse | None = _live(
        StoredResponse.objects.filter(caller_id=caller_id, response_id=response_id)
    ).first()
    return found


def find_conversation(caller_id: int, conversation_id: str) -> Conversation | None:
    """Return a conversation of the caller's."""
    return Conversation.objects.filter(caller_id=caller_id, conversation_id=conversation_id).first()


def conversation_page(caller_id: int, conversation_id: str, asked: Paging) -> dict[str, Any] | None:
    """Return one page of a conversation's items; None if there is no such conversation.

    Raises:
        ItemNotFoundError: if the page is to begin behind an item that is not there.
    """
    conversation = find_conversation(caller_id, conversation_id)
    if conversation is None:
        return None
    rows = conversation.items.order_by("pk" if asked.ascending else "-pk")
    if asked.after:
        same = conversation.items.filter(item_id=asked.after).values_list("pk", flat=True)
        # Two turns at the same time may bring the same item: behind the last one, or the pages would have no end.
        after = same.last() if asked.ascending else same.first()
        if after is None:
            raise ItemNotFoundError(asked.after, param="after")
        rows = rows.filter(pk__gt=after) if asked.ascending else rows.filter(pk__lt=after)
    found = _decoded(rows[: asked.limit + 1])
    return paging.listed(found[: asked.limit], has_more=len(found) > asked.limit)


def taken_ids(caller_id: int, conversation_id: str, item_ids: Iterable[str]) -> set[str]:
    """Return which of these ids items of the conversation have already."""
    mine = StoredItem.objects.filter(caller_id=caller_id, conversation__conversation_id=conversation_id)
    return {
        item_id
        for chunk in _chunks(item_ids)
        for item_id in mine.filter(item_id__in=chunk).values_list("item_id", flat=True)
    }


def conversation_item(caller_id: int, conversation_id: str, item_id: str) -> Item | None:
    """Return an item of a conversation of the caller's."""
    rows = StoredItem.objects.filter(
        caller_id=caller_id, conversation__conversation_id=conversation_id, item_id=item_id
    )
    return next(iter(_decoded(rows[:1])), None)


def statuses(response_ids: Iterable[str]) -> Mapping[str, str]:
    """Return how the responses stand, by id; a deleted one is not among them."""
    rows = StoredResponse.objects.filter(response_id__in=[*response_ids])
    return dict(rows.values_list("response_id", "status"))


class Store:
    """Runs these reads for one event loop, on threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="store")
        self._used = False

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return what one of the functions above returns.

        Raises:
            UnavailableError: if the database does not answer.
            GatewayError: what the function raises.
        """
        self._used = True
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._do, work, arguments)

    def _do(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        try:
            try:
                return work(*arguments)
            except (OperationalError, InterfaceError):
                connections.close_all()
                return work(*arguments)
        except Error as error:
            raise UnavailableError(
                "Roundhouse cannot read what it has stored: its database does not answer."
            ) from error

    async def close(self) -> None:
        """End the threads and close their connections."""
        if self._used:
            together = threading.Barrier(THREADS)

            def end() -> None:
                together.wait()
                connections.close_all()

            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(self._threads, end) for _ in range(THREADS)))
        self._threads.shutdown()
