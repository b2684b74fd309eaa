"""Which session a request belongs to, and which endpoint that is bound to."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from responses_api import affinity, store
from responses_api.affinity import SessionKey
from responses_api.balancing import BY_LOAD, WAYS, Candidates
from responses_api.directory import Directory
from responses_api.errors import UnavailableError
from responses_api.fingerprint import Trail
from responses_api.ledger import Ledger, Pin, Place
from responses_api.limits import Limits
from responses_api.loads import Loads
from responses_api.snapshot import ProfileView
from responses_api.store import Store
from responses_api.trace import Trace, new_id


class Sessions:
    """The sessions of one event loop."""

    def __init__(
        self,
        directory: Directory,
        ledger: Ledger,
        loads: Loads,
        limits: Limits,
        store: Store,
        cookie_secret: bytes,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._loads = loads
        self._limits = limits
        self._store = store
        self._cookie_secret = cookie_secret

    async def find(self, trace: Trace) -> None:
        """Find the request's session, or make it, and the endpoint that serves it, if there is one now. Nothing is
        remembered where nothing is generated: such a request goes anywhere, unless it names a session.

        Raises:
            RequestError: if its session key cannot be one.
        """
        profile = trace.profile
        session = await self._session(trace)
        if session.fresh and not trace.exchange.generates:
            send_anywhere(trace, self._limits.with_room(profile.usable, profile.open_to_new))
            return
        trace.session = session
        place = trace.place = Place(profile.id, trace.caller.id, session.key)
        pin = None if session.fresh else self._ledger.known(place)
        if pin is None:
            pin = await self._ledger.pin(
                place,
                await self._balanced(profile, place, profile.open_to_new),
                _now(),
                fresh=session.fresh,
                weights=profile.weights,
            )
            self._loads.bound(pin.endpoint_id)
        trace.bind(pin)
        if trace.endpoint is None:
            reason = profile.unusable.get(pin.endpoint_id or 0, "its endpoint left the pool")
            await self.move(trace, pin, profile.open_to_new, reason)

    async def _session(self, trace: Trace) -> SessionKey:
        """Return the session that the request names, or that its conversation is known to belong to, or a new one."""
        exchange = trace.exchange

        def trail() -> Trail:
            if trace.trail is None:
                scope = f"{trace.profile.id}:{trace.caller.id}"
                trace.trail = Trail(scope, exchange.conversation(), exchange.settings.tags)
            return trace.trail

        hints = affinity.Hints(
            trace.arrival.headers,
            self._cookie_secret,
            trace.continued,
            *exchange.session_hints(),
            opening=lambda: trail().opening,
        )
        session = affinity.find(hints, lambda: new_id("sess"))
        if session.is_named or not exchange.generates:
            return session
        ends = trail().answers
        if ends and (keys := await self._recognised(trace, ends, session)) and session.key not in keys:
            return SessionKey(keys[-1], is_named=False)
        return session

    async def _recognised(self, trace: Trace, ends: tuple[int, ...], session: SessionKey) -> Sequence[str]:
        """Return the sessions that gave the newest known answer; more than one, if conversations are the same to the
        word. Which of them it is, a cookie can tell.
        """
        keys = self._ledger.recognised(ends)
        if self._ledger.is_away or (keys and (session.fresh or session.key in keys)):
            return keys
        try:
            return await self._store.read(store.recognise, trace.caller.id, trace.profile.id, ends)
        except UnavailableError:  # the first to notice that the database is away: it is no reason to refuse
            return keys

    async def move(self, trace: Trace, pin: Pin, candidates: Mapping[int, str], reason: str) -> None:
        """Bind the trace's session to one of the candidates, or to whichever another process has chosen."""
        if not candidates or trace.place is None:
            return
        names = (await self._directory.snapshot()).endpoint_names
        old_name = names.get(pin.endpoint_id or 0, f"endpoint {pin.endpoint_id}")
        bound = await self._ledger.repin(
            trace.place,
            pin,
            old_name=old_name,
            candidates=await self._balanced(trace.profile, trace.place, candidates),
            reason=reason,
            now=_now(),
            weights=trace.profile.weights,
        )
        self._loads.bound(bound.endpoint_id)
        trace.bind(bound)

    async def _balanced(self, profile: ProfileView, place: Place, candidates: Candidates) -> Candidates:
        """Return those of the candidates that the profile's way of balancing leaves, of those that have room."""
        candidates = self._limits.with_room(profile.usable, candidates)
        loads = await self._loads.now() if profile.balancing == BY_LOAD else {}
        return WAYS[profile.balancing](candidates, profile.weights, place.key, loads)


def send_anywhere(trace: Trace, candidates: Mapping[int, str]) -> None:
    """Bind the request itself to one of the candidates, if there is one."""
    if candidates:
        trace.endpoint = trace.profile.usable[random.choice([*candidates])]  # noqa: S311


def why_none(profile: ProfileView) -> str:
    """Return why no engine of the profile can be asked."""
    name = profile.settings.name
    reasons = [
        *profile.unusable.values(),
        *(f"{view.name} is {'paused' if view.paused else 'draining'}" for view in profile.usable.values()),
    ]
    if not reasons:
        return f"The model '{name}' has no engine yet: its pool is empty."
    return f"No engine of the model '{name}' can be asked: {'; '.join(reason.rstrip('.') for reason in reasons)}."


def _now() -> datetime:
    return datetime.now(UTC)
