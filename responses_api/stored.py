"""Stored responses as their callers see them: fetched, listed, deleted, cancelled, and their streams read again."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from responses_api import recording, store, wire
from responses_api.background import Background
from responses_api.convert import kept, paging
from responses_api.errors import NotStoredError, RequestError
from responses_api.ledger import Ledger, changes
from responses_api.models import StoredResponse
from responses_api.snapshot import Caller
from responses_api.store import Store
from responses_api.streaming import Outlet
from responses_api.trace import Reply

OK = 200
LOOK_SECONDS = 0.5


class Asked(NamedTuple):
    """A request about what is stored: who asks, the names in the path, the parameters of the URL, and the body."""

    caller: Caller
    names: dict[str, str]
    query: dict[str, str]
    body: bytes


class StoredResponses:
    """Each method answers one kind of request. Raises GatewayError; what another caller made is not there."""

    def __init__(self, ledger: Ledger, door: Store, background: Background, *, heartbeat_seconds: float) -> None:
        self._ledger = ledger
        self._door = door
        self._background = background
        self._heartbeat_seconds = heartbeat_seconds

    async def retrieve(self, asked: Asked) -> Reply:
        """Return a response as it stands."""
        return Reply(OK, resource_of(await self._find(asked)))

    async def delete(self, asked: Asked) -> Reply:
        """Delete a response; end the work on it, if there is any."""
        response_id = asked.names["response_id"]
        if not await self._ledger.change(partial(changes.delete_response, asked.caller.id, response_id)):
            raise NotStoredError("Response", response_id)
        self._background.cancel(response_id)
        return Reply(OK, wire.encode({"id": response_id, "object": "response", "deleted": True}))

    async def input_items(self, asked: Asked) -> Reply:
        """List a response's own input. What it continued is listed by the responses that it continued."""
        which = paging.paging(asked.query)
        row = await self._find(asked)
        return Reply(OK, wire.encode(paging.page(store.input_of(row), which)))

    async def cancel(self, asked: Asked) -> Reply:
        """Cancel a response in the background. One that has ended stays as it is."""
        row = await self._find(asked)
        if not row.background:
            raise RequestError("Only responses that were created with 'background' can be cancelled.")
        if await self._ledger.change(partial(changes.cancel, asked.caller.id, row.response_id)):
            self._background.cancel(row.response_id)
        return Reply(OK, resource_of(await self._find(asked)))

    async def read_again(self, asked: Asked, outlet: Outlet) -> None:
        """Stream the events of a response in the background, behind the one that the caller had last."""
        number = asked.query.get("starting_after", "-1")
        if not (number == "-1" or (number.isascii() and number.isdigit() and len(number) < 10)):  # noqa: PLR2004
            raise RequestError("'starting_after' is the number of an event.", param="starting_after")
        row = await self._find(asked)
        if live := self._background.recording(row.response_id):
            if not live.streams:
                raise _not_streamed()
            await outlet.start([])
            await live.read_to(outlet, number=int(number), heartbeat_seconds=self._heartbeat_seconds)
            return
        is_running = row.background
        while is_running and row.events is None:  # another process works on it; its events come just after its end
            is_running = row.status not in kept.TERMINAL
            await asyncio.sleep(LOOK_SECONDS)
            row = await self._find(asked)
        if row.events is None:
            raise _not_streamed()
        await outlet.start([])
        await outlet.end(recording.behind(recording.frames_of(bytes(row.events)), int(number)))

    async def _find(self, asked: Asked) -> StoredResponse:
        """Return the response; one whose process is gone has failed."""
        response_id = asked.names["response_id"]
        row = await self._door.read(store.find_response, asked.caller.id, response_id)
        if row is not None and row.lease_until is not None and row.lease_until < datetime.now(UTC):
            await self._ledger.change(partial(changes.give_up_lost, datetime.now(UTC), response_id))
            row = await self._door.read(store.find_response, asked.caller.id, response_id)
        if row is None:
            raise NotStoredError("Response", response_id)
        return row


def _not_streamed() -> RequestError:
    return RequestError(
        "Only responses that were created with 'background' and 'stream' have a stream.", param="stream"
    )


def resource_of(row: StoredResponse) -> bytes:
    """Return the resource as it stands."""
    body = bytes(row.body)
    if not row.background:
        return body
    return wire.encode(kept.standing(wire.json_object(body), row.status))
