"""Conversations as their callers see them: made, read, renamed, added to, deleted."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from responses_api import store, wire
from responses_api.convert import kept, paging
from responses_api.convert.items import Item
from responses_api.convert.kept import ItemIds, References
from responses_api.errors import ItemNotFoundError, NotStoredError, RequestError
from responses_api.ledger import Ledger, NamedItem, changes
from responses_api.models import Conversation
from responses_api.store import Store
from responses_api.stored import OK, Asked
from responses_api.trace import Reply, new_id


class NewConversation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /v1/conversations."""

    items: list[Item] | None = None
    metadata: dict[str, str] | None = None


class NewItems(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /v1/conversations/{id}/items."""

    items: list[Item]


class NewMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /v1/conversations/{id}."""

    metadata: dict[str, str] | None


class Conversations:
    """Each method answers one kind of request. Raises GatewayError; what another caller made is not there."""

    def __init__(self, ledger: Ledger, door: Store, *, stores: bool) -> None:
        self._ledger = ledger
        self._door = door
        self._stores = stores

    async def create(self, asked: Asked) -> Reply:
        """Make a conversation."""
        if not self._stores:
            raise RequestError("This server stores nothing, and so no conversations.")
        given = wire.read(wire.json_object(asked.body or b"{}"), NewConversation, "")
        metadata = _storable(given.metadata)
        row = Conversation(
            conversation_id=new_id("conv"),
            caller_id=asked.caller.id,
            caller_name=asked.caller.name,
            metadata=metadata,
            created_at=datetime.now(UTC),
        )
        items = await self._items(asked, given.items or [])
        await self._ledger.change(partial(changes.create_conversation, row, _named(items)))
        return Reply(OK, resource_of(row))

    async def retrieve(self, asked: Asked) -> Reply:
        """Return a conversation."""
        return Reply(OK, resource_of(await self._find(asked)))

    async def update(self, asked: Asked) -> Reply:
        """Replace a conversation's metadata."""
        given = wire.read(wire.json_object(asked.body), NewMetadata, "")
        metadata = _storable(given.metadata)
        caller, conversation_id = asked.caller.id, asked.names["conversation_id"]
        await self._ledger.change(partial(changes.update_conversation, caller, conversation_id, metadata))
        return Reply(OK, resource_of(await self._find(asked)))

    async def delete(self, asked: Asked) -> Reply:
        """Delete a conversation with its items. The responses that belonged to it stay."""
        conversation_id = asked.names["conversation_id"]
        if not await self._ledger.change(partial(changes.delete_conversation, asked.caller.id, conversation_id)):
            raise NotStoredError("Conversation", conversation_id)
        return Reply(OK, wire.encode({"id": conversation_id, "object": "conversation.deleted", "deleted": True}))

    async def items(self, asked: Asked) -> Reply:
        """List a page of a conversation's items."""
        which, conversation_id = paging.paging(asked.query), asked.names["conversation_id"]
        page = await self._door.read(store.conversation_page, asked.caller.id, conversation_id, which)
        if page is None:
            raise NotStoredError("Conversation", conversation_id)
        return Reply(OK, wire.encode(page))

    async def add(self, asked: Asked) -> Reply:
        """Append items; return them as they are stored."""
        given = wire.read(wire.json_object(asked.body), NewItems, "")
        conversation_id = asked.names["conversation_id"]
        taken = await self._door.read(
            store.taken_ids,
            asked.caller.id,
            conversation_id,
            [item_id for item in given.items if (item_id := kept.own_id(item))],
        )
        items = await self._items(asked, given.items, taken)
        if not await self._ledger.change(partial(changes.add_items, asked.caller.id, conversation_id, _named(items))):
            raise NotStoredError("Conversation", conversation_id)
        return Reply(OK, wire.encode(paging.listed(items, has_more=False)))

    async def item(self, asked: Asked) -> Reply:
        """Return one item."""
        await self._find(asked)
        conversation_id, item_id = asked.names["conversation_id"], asked.names["item_id"]
        item = await self._door.read(store.conversation_item, asked.caller.id, conversation_id, item_id)
        if item is None:
            raise ItemNotFoundError(item_id, param="item_id")
        return Reply(OK, wire.encode(item))

    async def delete_item(self, asked: Asked) -> Reply:
        """Take an item out; return the conversation."""
        row = await self._find(asked)
        item_id = asked.names["item_id"]
        work = partial(changes.delete_item, asked.caller.id, row.conversation_id, item_id)
        if not await self._ledger.change(work):
            raise ItemNotFoundError(item_id, param="item_id")
        return Reply(OK, resource_of(row))

    async def _find(self, asked: Asked) -> Conversation:
        conversation_id = asked.names["conversation_id"]
        row = await self._door.read(store.find_conversation, asked.caller.id, conversation_id)
        if row is None:
            raise NotStoredError("Conversation", conversation_id)
        return row

    async def _items(self, asked: Asked, given: list[Item], taken: AbstractSet[str] = frozenset()) -> list[Item]:
        """Return the items as they are stored: of known kinds, in their full form, references resolved, and under ids
        that are not `taken`.
        """
        if references := kept.references_in(given, at="items"):
            found = await self._door.read(store.recall, asked.caller.id, References(items=references, at="items"))
            given = kept.resolved(given, found.items)
        kept.check_items(given, at="items")
        return kept.with_ids(given, ItemIds(new_id("item")), taken)


def resource_of(row: Conversation) -> bytes:
    """Return the conversation as the API shows it."""
    shown: dict[str, Any] = {
        "id": row.conversation_id,
        "object": "conversation",
        "created_at": int(row.created_at.timestamp()),
        "metadata": row.metadata,
    }
    return wire.encode(shown)


def _storable(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return metadata that every database takes. Raises RequestError if one does not."""
    found = metadata or {}
    if any(kept.NUL in text for pair in found.items() for text in pair):
        raise RequestError("'metadata' holds no null characters.", param="metadata")
    return found


def _named(items: list[Item]) -> list[NamedItem]:
    return [NamedItem(item["id"], wire.encode(item)) for item in items]
