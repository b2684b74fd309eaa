"""How much the engines have to do, as they say themselves about once a second.

Read only while a profile balances by it.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from responses_api.balancing import BY_LOAD, load_in
from responses_api.directory import Directory
from responses_api.errors import EngineError, UnavailableError
from responses_api.snapshot import EndpointView
from responses_api.upstream import Upstream

READ_SECONDS = 1.0
# An engine that takes longer to say it is as good as one that says nothing.
PATIENCE_SECONDS = 1.0
OK = 200


class Loads:
    """The loads of one event loop's engines. Between two readings, the sessions that were bound since then count."""

    def __init__(self, directory: Directory, upstream: Upstream) -> None:
        self._directory = directory
        self._upstream = upstream
        self._read: dict[int, float] = {}
        self._since: Counter[int] = Counter()
        self._reading: asyncio.Task[None] | None = None
        self._first = asyncio.Event()

    async def now(self) -> Mapping[int, float]:
        """Return the requests that run and wait, by endpoint; an engine that does not say is not in it."""
        if self._reading is None or self._reading.done():
            self._first.clear()
            self._reading = asyncio.create_task(self._read_for_ever())
        await self._first.wait()
        return {pk: load + self._since[pk] for pk, load in self._read.items()}

    def bound(self, endpoint_id: int | None) -> None:
        """Count a session that was bound to the endpoint."""
        if endpoint_id in self._read:
            self._since[endpoint_id] += 1

    async def _read_for_ever(self) -> None:
        """Read until no profile wants it any more."""
        try:
            while endpoints := await self._wanted():
                await asyncio.gather(*(self._ask(endpoint) for endpoint in endpoints.values()))
                self._forget_but(endpoints)
                self._first.set()
                await asyncio.sleep(READ_SECONDS)
        finally:
            self._forget_but({})
            self._first.set()  # nobody waits for what does not come

    async def _wanted(self) -> dict[int, EndpointView]:
        with suppress(UnavailableError):
            profiles = (await self._directory.snapshot()).profiles.values()
            views = [profile.usable for profile in profiles if profile.balancing == BY_LOAD]
            return {pk: view for usable in views for pk, view in usable.items()}
        return {}

    async def _ask(self, endpoint: EndpointView) -> None:
        before = self._since[endpoint.id]
        load = None
        with suppress(EngineError):
            answer = await self._upstream.get(
                endpoint.url("/metrics"), api_key=endpoint.api_key, timeout_seconds=PATIENCE_SECONDS
            )
            load = load_in(answer.body) if answer.status == OK else None
        if load is None:
            self._read.pop(endpoint.id, None)
        else:
            self._read[endpoint.id] = load
            self._since[endpoint.id] -= before

    def _forget_but(self, endpoints: Mapping[int, EndpointView]) -> None:
        for pk in self._read.keys() - endpoints.keys():
            del self._read[pk]
            del self._since[pk]

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
