"""The gateway's view of the configuration: a snapshot in memory, read again about once a second.

The only place where the gateway reads the ORM. An edit takes effect within about a second and costs a request nothing;
while the database is away, the last snapshot serves.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import close_old_connections, connections

from endpoints import queries
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.convert.profile import ProfileSettings, settings_of_gateway_removed
from responses_api.errors import UnavailableError

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint that may be asked."""

    id: int
    name: str
    chat_url: str
    api_key: str
    draining: bool
    max_model_len: int | None


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile with its pool."""

    id: int
    settings: ProfileSettings
    timeout_seconds: int
    created: int
    usable: Mapping[int, EndpointView]  # enabled and not unhealthy, by id
    open_to_new: Mapping[int, str]  # of those, the names of the ones that take new sessions, by id
    unusable: Mapping[int, str]  # why the others are not: "gpu-1 is disabled"

    @property
    def max_model_len(self) -> int | None:
        """The context that every usable engine of the pool has, in tokens; None if none says."""
        return min((view.max_model_len for view in self.usable.values() if view.max_model_len), default=None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds an API key."""

    id: int
    name: str
    may_call: bool
    profile_ids: frozenset[int]  # empty: all
    expires_at: datetime | None

    def may_use(self, profile: ProfileView) -> bool:
        """Whether the key's allow-list has the profile."""
        return not self.profile_ids or profile.id in self.profile_ids


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration at one moment: enabled profiles by name, enabled keys by digest."""

    profiles: Mapping[str, ProfileView]
    callers: Mapping[str, Caller]
    endpoint_names: Mapping[int, str]


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
        key.digest: Caller(key.pk, key.name, key.scope_gateway, frozenset(allowed[key.pk]), key.expires_at)
        for key in ApiKey.objects.filter(enabled=True)
    }
    return Snapshot(profiles, callers, {endpoint.pk: endpoint.name for endpoint in endpoints.values()})


def _profile(profile: ConfigProfile, pool: list[Endpoint], endpoint_keys: Mapping[int, str | None]) -> ProfileView:
    usable: dict[int, EndpointView] = {}
    unusable: dict[int, str] = {}
    for endpoint in pool:
        if not endpoint.enabled:
            unusable[endpoint.pk] = f"{endpoint.name} is disabled"
        elif endpoint.health == Endpoint.Health.UNHEALTHY:
            unusable[endpoint.pk] = f"{endpoint.name} is unhealthy: {endpoint.health_reason or 'no reason is known'}"
        elif (api_key := endpoint_keys[endpoint.pk]) is None:
            unusable[endpoint.pk] = f"{endpoint.name} has a key that cannot be decrypted: set it anew"
        else:
            usable[endpoint.pk] = EndpointView(
                id=endpoint.pk,
                name=endpoint.name,
                chat_url=endpoint.base_url.rstrip("/") + "/chat/completions",
                api_key=api_key,
                draining=endpoint.draining,
                max_model_len=endpoint.max_model_len,
            )
    settings = ProfileSettings(
        name=profile.name,
        engine_model=profile.engine_model,
        uses_reasoning_parser=profile.uses_reasoning_parser,
        developer_becomes_system=profile.replace_developer_role_with_system,
        overflow_is_error=profile.context_overflow == ConfigProfile.ContextOverflow.ERROR,
        chat_template_kwargs=profile.chat_template_kwargs,
        extra_body=settings_of_gateway_removed(profile.extra_body),
        sampling_overrides=settings_of_gateway_removed(profile.sampling_overrides),
    )
    return ProfileView(
        id=profile.pk,
        settings=settings,
        timeout_seconds=profile.request_timeout_seconds,
        created=int(profile.created_at.timestamp()),
        usable=usable,
        open_to_new={view.id: view.name for view in usable.values() if not view.draining},
        unusable=unusable,
    )


class Directory:
    """Keeps one event loop's snapshot fresh, from a thread of its own."""

    def __init__(self, *, read: Callable[[], Snapshot] = load, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self._read = read
        self._refresh_seconds = refresh_seconds
        self._snapshot: Snapshot | None = None
        self._attempt: asyncio.Future[None] | None = None
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
            raise UnavailableError("Roundhouse cannot read its configuration: its database does not answer.")
        return self._snapshot

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
            try:
                self._snapshot = await loop.run_in_executor(self._thread, self._load)
                if away:
                    logger.info("The configuration can be read again.")
                away = False
            except Exception:
                if not away:
                    logger.exception("The configuration cannot be read; the last one that could serves on.")
                away = True
            if self._attempt is not None and not self._attempt.done():
                self._attempt.set_result(None)
            await asyncio.sleep(self._refresh_seconds)

    def _load(self) -> Snapshot:
        close_old_connections()
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
        await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown()
