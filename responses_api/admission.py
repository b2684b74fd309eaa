"""Who is let in: whoever has a key and is within its limits, for as long as this process takes requests at all."""

import asyncio
import logging
from collections.abc import Mapping

from endpoints import keys
from responses_api.directory import Directory
from responses_api.errors import ApiKeyError, ModelNotFoundError, ScopeError, ShuttingDownError
from responses_api.limits import Limits
from responses_api.snapshot import Caller, ProfileView, Snapshot
from responses_api.trace import Arrival

logger = logging.getLogger(__name__)

# So long those may take to say good-bye whose time is over, in seconds.
FAREWELL_SECONDS = 2.0


class Admission:
    """The door of one event loop's gateway."""

    def __init__(self, directory: Directory, limits: Limits) -> None:
        self._directory = directory
        self._limits = limits
        self._running: set[asyncio.Task[object]] = set()
        self.is_closed = False  # new requests are refused
        self.is_over = False  # those that run are ended

    async def caller(self, arrival: Arrival) -> Caller:
        """Return who calls. A key that is not known may have been made a moment ago: the configuration is read again.

        Raises:
            ApiKeyError: if there is no key, or none of ours that is enabled and not expired.
            ScopeError: if the key is not for the gateway.
            UnavailableError: if that cannot be known, because the database is away.
            ShuttingDownError: if nobody is let in any more.
        """
        if self.is_closed:
            raise ShuttingDownError
        key = key_of(arrival.headers)
        if not key:
            raise ApiKeyError("No API key was given: send the header 'Authorization: Bearer <key>'.")
        digest = keys.digest(key)
        snapshot = await self._directory.snapshot()
        try:
            return _holder(snapshot, digest, arrival.at)
        except (ApiKeyError, ScopeError):
            return _holder(await self._directory.newer(), digest, arrival.at)

    async def profile(self, caller: Caller, model: str) -> ProfileView:
        """Return the profile of this name, if the caller may use it. One that is not known may be new, as keys are.

        Raises:
            ModelNotFoundError: if there is none.
        """
        snapshot = await self._directory.snapshot()
        profile = snapshot.profiles.get(model)
        if profile is not None and caller.may_use(profile):
            return profile
        snapshot = await self._directory.newer()
        profile = snapshot.profiles.get(model)
        caller = snapshot.caller_by_id(caller.id) or caller
        if profile is None or not caller.may_use(profile):
            raise ModelNotFoundError(model, [view.settings.name for view in await self.profiles(caller)])
        return profile

    async def profiles(self, caller: Caller) -> list[ProfileView]:
        """Return the profiles that the caller may use."""
        return [view for view in (await self._directory.snapshot()).profiles.values() if caller.may_use(view)]

    def count(self, caller: Caller, now: float) -> list[tuple[str, str]]:
        """Count a request that is let in; return the headers that say what is left of the caller's limit.

        Raises:
            RateLimitError: if it is one too many.
        """
        return self._limits.admit(caller, now) if caller.is_limited else []

    def inside(self, counted: Caller | None = None) -> "Inside":
        """Know of work that runs, and of the caller for whom it was counted, as long as the context is open."""
        return Inside(self._running, self._limits, counted if counted is not None and counted.is_limited else None)

    def ends_me(self) -> bool:
        """Whether the current task was cancelled because its time is over; if so, it is to go on and say so."""
        task = asyncio.current_task()
        if not self.is_over or task is None or task not in self._running:
            return False
        task.uncancel()
        return True

    async def close(self, seconds: float) -> None:
        """Let nobody in any more, and return when nobody is inside: after so many seconds those are ended who are."""
        self.is_closed = True
        if self._running:
            logger.info("%d requests run on; new ones are refused.", len(self._running))
            await asyncio.wait(self._running, timeout=seconds)
        self.is_over = True
        if self._running:
            logger.warning("%d requests are ended: their time is over.", len(self._running))
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=FAREWELL_SECONDS)


class Inside:
    """Work that runs. A generator as context would cost every request twice as much."""

    __slots__ = ("_counted", "_limits", "_running", "_task")

    def __init__(self, running: set[asyncio.Task[object]], limits: Limits, counted: Caller | None) -> None:
        self._running = running
        self._limits = limits
        self._counted = counted

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (whoever serves a request is one)
        self._task = task
        self._running.add(task)

    def __exit__(self, *_: object) -> None:
        self._running.discard(self._task)
        if self._counted is not None:
            self._limits.dismiss(self._counted)


def key_of(headers: Mapping[str, str]) -> str:
    """Return the key that a request brings, or nothing."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()


def _holder(snapshot: Snapshot, digest: str, now: float) -> Caller:
    caller = snapshot.callers.get(digest)
    if caller is None:
        raise ApiKeyError("The API key is unknown or disabled.")
    if caller.expires_at is not None and caller.expires_at.timestamp() <= now:
        raise ApiKeyError("The API key has expired.")
    if not caller.may_call:
        raise ScopeError("The API key has no 'gateway' scope.")
    return caller
