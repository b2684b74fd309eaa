"""The gateway's view of the configuration: a snapshot in memory, read again about once a second.

The only place where the gateway reads the ORM. An edit takes effect within about a second and costs a request nothing;
while the database is away, the last snapshot serves.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connections

from endpoints import queries
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.breaker import Circuit
from responses_api.convert.profile import ProfileSettings, settings_of_gateway_removed
from responses_api.errors import UnavailableError
from responses_api.models import Demand
from responses_api.retries import Patience
from responses_api.snapshot import Caller, EndpointView, ProfileView, Share, Snapshot

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 0.8
# However many ask for a newer reading, there are at least so many seconds between two.
MIN_REFRESH_SECONDS = 0.15
# What a process said longer ago counts for nothing: it is gone.
STALE_SECONDS = 10.0

UNREADABLE = "Roundhouse cannot read its configuration: its database does not answer."


def load() -> Snapshot:
    """Read the configuration. Raises whatever the database raises."""
    pools: dict[int, list[int]] = defaultdict(list)
    for profile_id, endpoint_id in ConfigProfile.endpoints.through.objects.values_list(
        "configprofile_id", "endpoint_id"
    ):
        pools[profile_id].append(endpoint_id)
    allowed: dict[int, list[int]] = defaultdict(list)
    for key_id, profile_id in ApiKey.profiles.through.objects.values_list("apikey_id", "configprofile_id"):
        allowed[key_id].append(profile_id)
    rows = queries.with_keys(Endpoint.objects.all())
    endpoints = {row.pk: row for row, _ in rows}
    endpoint_keys = {row.pk: key for row, key in rows}
    profiles = {
        profile.name: _profile(
            profile, [endpoints[pk] for pk in sorted(pools[profile.pk]) if pk in endpoints], endpoint_keys
        )
        for profile in ConfigProfile.objects.filter(enabled=True)
    }
    callers = {
        key.digest: Caller(
            key.pk,
            key.name,
            key.scope_gateway,
            frozenset(allowed[key.pk]),
            key.expires_at,
            key.requests_per_minute,
            key.max_concurrent,
        )
        for key in ApiKey.objects.filter(enabled=True)
    }
    circuits = {
        endpoint.pk: Circuit(
            endpoint.circuit_cause, endpoint.circuit_reason, endpoint.circuit_trips, endpoint.circuit_until
        )
        for endpoint in endpoints.values()
        if endpoint.circuit_cause and endpoint.circuit_until
    }
    names = {endpoint.pk: endpoint.name for endpoint in endpoints.values()}
    return Snapshot(profiles, callers, names, circuits, _demands())


def _demands() -> dict[str, tuple[Share, ...]]:
    since = datetime.now(UTC) - timedelta(seconds=STALE_SECONDS)
    found: dict[str, tuple[Share, ...]] = {}
    columns = ("subject", "process", "running", "minute", "requests")
    for subject, *share in Demand.objects.filter(seen_at__gte=since).order_by("pk").values_list(*columns):
        found[subject] = (*found.get(subject, ()), Share(*share))
    return found


def _profile(profile: ConfigProfile, pool: list[Endpoint], endpoint_keys: Mapping[int, str | None]) -> ProfileView:
    usable: dict[int, EndpointView] = {}
    unusable: dict[int, str] = {}
    may_return = False
    for endpoint in pool:
        if not endpoint.enabled:
            unusable[endpoint.pk] = f"{endpoint.name} is disabled"
        elif endpoint.health == Endpoint.Health.UNHEALTHY and not endpoint.paused:
            may_return = True
            unusable[endpoint.pk] = f"{endpoint.name} is unhealthy: {endpoint.health_reason or 'no reason is known'}"
        elif (api_key := endpoint_keys[endpoint.pk]) is None:
            unusable[endpoint.pk] = f"{endpoint.name} has a key that cannot be decrypted: set it anew"
        else:
            usable[endpoint.pk] = EndpointView(
                id=endpoint.pk,
                name=endpoint.name,
                base_url=endpoint.base_url.rstrip("/"),
                api_key=api_key,
                draining=endpoint.draining,
                max_model_len=endpoint.max_model_len,
                paused=endpoint.paused,
                max_concurrent=endpoint.max_concurrent,
                max_queued=endpoint.max_queued,
                weight=endpoint.weight,
            )
    found: dict[str, Any] = {field.name: getattr(profile, field.name) for field in fields(ProfileSettings)}
    for name in ("extra_body", "sampling_overrides"):
        found[name] = settings_of_gateway_removed(found[name])
    settings = ProfileSettings(**found)
    return ProfileView(
        id=profile.pk,
        settings=settings,
        patience=Patience(
            total=profile.request_timeout_seconds,
            connect=profile.connect_timeout_seconds,
            first_byte=profile.first_byte_timeout_seconds,
            idle=profile.idle_timeout_seconds,
            hold=profile.hold_seconds,
            max_attempts=profile.max_attempts,
        ),
        created=int(profile.created_at.timestamp()),
        usable=usable,
        open_to_new={view.id: view.name for view in usable.values() if not (view.draining or view.paused)},
        unusable=unusable,
        paused=profile.paused,
        may_return=may_return or bool(usable),
        balancing=profile.balancing,
    )


class Directory:
    """Keeps one event loop's snapshot fresh, from a thread of its own."""

    def __init__(
        self,
        *,
        read: Callable[[], Snapshot] = load,
        refresh_seconds: float = REFRESH_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        beside: Callable[[], Callable[[], None]] | None = None,
    ) -> None:
        """What other processes said counts for `stale_seconds`. `beside` is called after each reading, in its thread,
        and what it returns on the event loop.
        """
        self._read = read
        self._beside = beside
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = stale_seconds
        self._snapshot: Snapshot | None = None
        self._read_at = 0.0  # on the monotonic clock
        self._attempt: asyncio.Future[None] | None = None
        self._newer: asyncio.Future[bool] | None = None  # whether the next reading succeeds
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="directory")

    async def snapshot(self) -> Snapshot:
        """Return the newest snapshot; only the first call ever waits.

        Raises:
            UnavailableError: if the database could not be read yet.
        """
        if self._snapshot is None:
            await self._first()
        if self._snapshot is None:
            raise UnavailableError(UNREADABLE)
        return self._snapshot

    @property
    def circuits(self) -> Mapping[int, Circuit]:
        """The circuits that are not closed, as the last snapshot has them."""
        return self._snapshot.circuits if self._snapshot else {}

    @property
    def demands(self) -> Mapping[str, tuple[Share, ...]]:
        """What processes ask of what is limited, as the last snapshot has it; nothing, if that is old."""
        is_new = time.monotonic() - self._read_at < self._stale_seconds
        return self._snapshot.demands if self._snapshot and is_new else {}

    async def newer(self) -> Snapshot:
        """Return a snapshot whose reading begins after this call: what is not in the last one may be new.

        Raises:
            UnavailableError: if the database could not be read.
        """
        await self.snapshot()
        if self._newer is None:
            self._newer = asyncio.get_running_loop().create_future()
        self._wanted.set()
        if not await asyncio.shield(self._newer):
            raise UnavailableError(UNREADABLE)
        return await self.snapshot()

    async def changed(self, seconds: float) -> None:
        """Wait until a snapshot is another than the one before, or for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def wake(self) -> None:
        """Let those who wait for a change look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _first(self) -> None:
        if self._refreshing is None:
            self._attempt = asyncio.get_running_loop().create_future()
            self._refreshing = asyncio.create_task(self._refresh_for_ever())
        if self._attempt is not None:
            await asyncio.shield(self._attempt)

    async def _refresh_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        away = False
        while True:
            self._wanted.clear()
            newer, self._newer = self._newer, None
            before = self._snapshot
            began = time.monotonic()
            try:
                self._snapshot = await loop.run_in_executor(self._thread, self._load)
                self._read_at = began
                if self._beside is not None:
                    (await loop.run_in_executor(self._thread, self._beside))()
                if away:
                    logger.info("The configuration can be read again.")
                away = False
            except Exception:
                if not away:
                    logger.exception("The configuration cannot be read; the last one that could serves on.")
                away = True
            if self._attempt is not None and not self._attempt.done():
                self._attempt.set_result(None)
            if newer is not None:
                newer.set_result(not away)
            if self._snapshot != before:
                self.wake()
            await asyncio.sleep(min(MIN_REFRESH_SECONDS, self._refresh_seconds))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._refresh_seconds - MIN_REFRESH_SECONDS):
                    await self._wanted.wait()

    def _load(self) -> Snapshot:
        try:
            return self._read()
        except (OperationalError, InterfaceError):  # the connection may have died since it was used last
            connections.close_all()
        try:
            return self._read()
        except Exception:
            connections.close_all()  # the next try begins with a new connection
            raise

    async def close(self) -> None:
        """Stop reading and close the database connection."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await self._refreshing
        if self._newer is not None and not self._newer.done():
            self._newer.set_result(False)
        await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown()
