"""One request to an engine and back, durable before the caller sees it.

    authenticate → parse → profile → session → endpoint → convert → engine → convert back → commit → answer

`Gateway` is the order of these steps and owns every error between them: what leaves is an answer or an error of ours,
never an exception. There is one for each event loop.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from endpoints import keys
from responses_api import affinity, verdict, wire
from responses_api.convert.exchange import Exchange
from responses_api.directory import Caller, Directory, ProfileView, Snapshot
from responses_api.errors import (
    ApiKeyError,
    BadAnswerError,
    ContextLengthError,
    EngineBusyError,
    EngineError,
    EngineRefusalError,
    GatewayError,
    ModelNotFoundError,
    NoEngineError,
    RetryableError,
    ScopeError,
)
from responses_api.ledger import Ledger, Pin, Place
from responses_api.sse import CONTENT_TYPE
from responses_api.streaming import HEARTBEAT_SECONDS, Outlet, relay
from responses_api.trace import JSON, Arrival, Reply, Trace, new_id, ours
from responses_api.upstream import Upstream, UpstreamAnswer, UpstreamStream

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
# Pauses before the next attempt, in seconds: short before another engine, longer before the same one.
PAUSE_BEFORE_ANOTHER = (0.01, 0.05)
PAUSE_BEFORE_THE_SAME = (0.2, 0.6)

OK = 200
BUSY = frozenset({502, 503, 504})
KEY_REFUSED = frozenset({401, 403})


class Gateway:
    """The gateway of one event loop. `answer`, `models` and `model` return a reply, whatever happens."""

    def __init__(
        self, *, cookie_secret: bytes, secure_cookies: bool, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        self.directory = Directory()
        self.ledger = Ledger()
        self.upstream = Upstream()
        self._cookie_secret = cookie_secret
        self._secure_cookies = secure_cookies
        self._heartbeat_seconds = heartbeat_seconds

    async def close(self) -> None:
        """Write what is queued and close every connection."""
        await self.ledger.close()
        await self.upstream.close()
        await self.directory.close()

    async def answer(self, kind: type[Exchange], arrival: Arrival, outlet: Outlet) -> Reply | None:
        """Answer a request of one API; None if the answer was streamed into the outlet.

        Raises CancelledError alone: the caller has left.
        """
        try:
            snapshot, caller = await self._authenticate(arrival)
            exchange = kind(arrival.body)
            profile = _profile(snapshot, caller, exchange.model)
        except Exception as error:  # noqa: BLE001  (_refusal logs what is not ours)
            return _refusal(arrival, error)
        trace = Trace.begin(arrival, exchange, caller, profile, new_id(exchange.id_prefix))
        try:
            served = await self._serve(trace)
        except asyncio.CancelledError:
            trace.abandoned()
            self.ledger.record_soon(trace.finish())
            raise
        except Exception as error:  # noqa: BLE001
            served = _refusal(arrival, error, trace)
        headers = trace.headers(self._cookie_secret, secure_cookies=self._secure_cookies)
        if isinstance(served, UpstreamStream):
            await relay(trace, served, outlet, headers, self.ledger, heartbeat_seconds=self._heartbeat_seconds)
            return None
        reply = await self._commit(trace, served)
        reply.headers += headers
        return reply

    async def _commit(self, trace: Trace, reply: Reply) -> Reply:
        """Return the reply once it is in the ledger. What cannot be recorded does not leave, but an error may."""
        try:
            await self.ledger.record(trace.finish(), trace.place)
        except GatewayError as error:
            if reply.status == OK:
                return _refusal(trace.arrival, error, trace)
            logger.warning("An error that was answered is not in the ledger: %s", trace.row.response_id)
        return reply

    async def models(self, arrival: Arrival) -> Reply:
        """List the profiles that the caller may use."""
        try:
            snapshot, caller = await self._authenticate(arrival)
        except Exception as error:  # noqa: BLE001
            return _refusal(arrival, error)
        cards = [_card(profile) for profile in snapshot.profiles.values() if caller.may_use(profile)]
        return Reply(OK, wire.encode({"object": "list", "data": cards}))

    async def model(self, arrival: Arrival, name: str) -> Reply:
        """Describe one profile."""
        try:
            snapshot, caller = await self._authenticate(arrival)
            profile = _profile(snapshot, caller, name)
        except Exception as error:  # noqa: BLE001
            return _refusal(arrival, error)
        return Reply(OK, wire.encode(_card(profile)))

    async def _authenticate(self, arrival: Arrival) -> tuple[Snapshot, Caller]:
        snapshot = await self.directory.snapshot()
        return snapshot, authenticate(snapshot, arrival.headers, arrival.at)

    async def _serve(self, trace: Trace) -> Reply | UpstreamStream:
        """Return the reply; the engine's stream if it has begun to stream."""
        await self._find_session(trace)
        body = trace.exchange.engine_body(trace.profile.settings)
        answer = await self._ask(trace, body)
        if isinstance(answer, UpstreamStream):
            return answer
        if answer.status != OK:
            return _engine_error(trace, answer)
        if trace.exchange.wants_stream:
            raise BadAnswerError("The engine was asked to stream its answer, and did not.")
        written = trace.exchange.answer(answer.body, trace.profile.settings, trace.stamp())
        trace.answered(written)
        return Reply(OK, written.body)

    async def _find_session(self, trace: Trace) -> None:
        """Find the request's session, or make it, and the endpoint that serves it.

        Raises:
            RequestError: if its session key cannot be one.
            NoEngineError: if there is no endpoint to ask; the session is there nevertheless.
        """
        profile = trace.profile
        hints = affinity.Hints(trace.arrival.headers, self._cookie_secret)
        session = trace.session = affinity.find(hints, lambda: new_id("sess"))
        place = trace.place = Place(profile.id, trace.caller.id, session.key)
        pin = None if session.fresh else self.ledger.known(place)
        if pin is None:
            pin = await self.ledger.pin(place, profile.open_to_new, _now(), fresh=session.fresh)
        trace.bind(pin)
        if trace.endpoint is None:
            reason = profile.unusable.get(pin.endpoint_id or 0, "its endpoint left the pool")
            await self._move(trace, pin, profile.open_to_new, reason)
        if trace.endpoint is None:
            raise NoEngineError(_why_none(profile))

    async def _move(self, trace: Trace, pin: Pin, candidates: Mapping[int, str], reason: str) -> None:
        """Bind the trace's session to one of the candidates, or to whichever another process has chosen."""
        if not candidates or trace.place is None:
            return
        names = (await self.directory.snapshot()).endpoint_names
        old_name = names.get(pin.endpoint_id or 0, f"endpoint {pin.endpoint_id}")
        trace.bind(
            await self.ledger.repin(
                trace.place, pin, old_name=old_name, candidates=candidates, reason=reason, now=_now()
            )
        )

    async def _ask(self, trace: Trace, body: bytes) -> UpstreamAnswer | UpstreamStream:
        """Return an engine's answer. If one gives none, the session moves to another, a bounded number of times.

        Raises:
            EngineError: if none answered.
        """
        tried: set[int] = set()
        while True:
            try:
                return await self._ask_once(trace, body)
            except RetryableError as error:
                if trace.row.attempts >= MAX_ATTEMPTS:
                    raise
                await self._try_elsewhere(trace, tried, error)

    async def _ask_once(self, trace: Trace, body: bytes) -> UpstreamAnswer | UpstreamStream:
        endpoint = trace.endpoint
        if endpoint is None:
            raise NoEngineError(_why_none(trace.profile))
        trace.row.attempts += 1
        started = time.monotonic()
        left = trace.profile.timeout_seconds - (started - trace.arrival.clock)
        try:
            ask = self.upstream.open if trace.exchange.wants_stream else self.upstream.post
            answer = await ask(endpoint.chat_url, body, api_key=endpoint.api_key, timeout_seconds=max(left, 0.001))
        finally:
            trace.engine_seconds += time.monotonic() - started
        if isinstance(answer, UpstreamAnswer) and answer.status in BUSY:
            raise EngineBusyError(_words(answer)[0], status=answer.status)
        return answer

    async def _try_elsewhere(self, trace: Trace, tried: set[int], error: RetryableError) -> None:
        """Pause, and bind the session to an endpoint that was not tried; to the same one again if there is no other."""
        if trace.endpoint is not None:
            tried.add(trace.endpoint.id)
        snapshot = await self.directory.snapshot()
        trace.profile = snapshot.profiles.get(trace.profile.settings.name, trace.profile)
        others = {pk: name for pk, name in trace.profile.open_to_new.items() if pk not in tried}
        await asyncio.sleep(random.uniform(*(PAUSE_BEFORE_ANOTHER if others else PAUSE_BEFORE_THE_SAME)))  # noqa: S311
        if others and trace.pin is not None:
            await self._move(trace, trace.pin, others, error.message)


def authenticate(snapshot: Snapshot, headers: Mapping[str, str], now: float) -> Caller:
    """Return who calls.

    Raises:
        ApiKeyError: if there is no key, or none of ours that is enabled and not expired.
        ScopeError: if the key is not for the gateway.
    """
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    key = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
    if not key:
        raise ApiKeyError("No API key was given: send the header 'Authorization: Bearer <key>'.")
    caller = snapshot.callers.get(keys.digest(key))
    if caller is None:
        raise ApiKeyError("The API key is unknown or disabled.")
    if caller.expires_at is not None and caller.expires_at.timestamp() <= now:
        raise ApiKeyError("The API key has expired.")
    if not caller.may_call:
        raise ScopeError("The API key has no 'gateway' scope.")
    return caller


def _profile(snapshot: Snapshot, caller: Caller, model: str) -> ProfileView:
    profile = snapshot.profiles.get(model)
    if profile is None or not caller.may_use(profile):
        known = [view.settings.name for view in snapshot.profiles.values() if caller.may_use(view)]
        raise ModelNotFoundError(model, known)
    return profile


def _card(profile: ProfileView) -> dict[str, Any]:
    """Return a model object as OpenAI writes it, with vLLM's `max_model_len`."""
    return {
        "id": profile.settings.name,
        "object": "model",
        "created": profile.created,
        "owned_by": "roundhouse",
        "max_model_len": profile.max_model_len,
    }


def _why_none(profile: ProfileView) -> str:
    name = profile.settings.name
    reasons = [*profile.unusable.values(), *(f"{view.name} is draining" for view in profile.usable.values())]
    if not reasons:
        return f"The model '{name}' has no engine yet: its pool is empty."
    return f"No engine of the model '{name}' can be asked: {'; '.join(reason.rstrip('.') for reason in reasons)}."


def _words(answer: UpstreamAnswer) -> tuple[str, wire.ErrorDetail]:
    """Return what to tell the caller of an engine's error: its own words, if it has any; and all that it said."""
    detail = wire.engine_error(answer.body)
    return detail.message or f"The engine answered with HTTP status {answer.status} and no message.", detail


def _engine_error(trace: Trace, answer: UpstreamAnswer) -> Reply:
    """Return the empty answer to a prompt that does not fit, if the profile wants it so.

    Raises:
        ContextLengthError: if the profile wants the error.
        EngineRefusalError: if the engine says that the request is wrong.
        EngineError: if the engine itself is.
    """
    message, detail = _words(answer)
    if found := verdict.overflow(answer.status, detail.message):
        trace.overflowed(found)
        if trace.profile.settings.overflow_is_error:
            raise ContextLengthError(message, param=trace.exchange.input_param)
        body = trace.exchange.empty_answer(trace.profile.settings, trace.stamp())
        return Reply(OK, body, content_type=CONTENT_TYPE if trace.exchange.wants_stream else JSON)
    if answer.status in KEY_REFUSED:  # passed on, it would send callers to look at their own key
        raise EngineError(f"The engine refused the key of its endpoint: {message}")
    if 400 <= answer.status < 500:  # noqa: PLR2004
        raise EngineRefusalError(
            message,
            status=answer.status,
            param=detail.param if isinstance(detail.param, str) else None,
            code=detail.code if isinstance(detail.code, str) else None,
            retry_after=_printable(answer.headers.get("Retry-After", "")),
        )
    raise EngineError(message)


def _printable(header: str) -> str:
    """Return a header of an engine if it can be passed on."""
    return header if header.isascii() and header.isprintable() else ""


def _refusal(arrival: Arrival, error: Exception, trace: Trace | None = None) -> Reply:
    """Return the reply for an error and note it in the trace."""
    told = ours(arrival, error)
    if trace is not None:
        trace.failed(told)
    return Reply(told.status, wire.encode(told.body()), told.headers())


def _now() -> datetime:
    return datetime.now(UTC)
