"""One request to an engine and back, durable before the caller sees it.

    authenticate → parse → profile → session → endpoint → convert → engine → convert back → commit → answer

`Gateway` is the order of these steps and owns every error between them: what leaves is an answer or an error of ours,
never an exception. There is one for each event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from responses_api import audio_files, verdict, wire
from responses_api.admission import Admission
from responses_api.asking import OK, Asking, words
from responses_api.background import MAX_RUNNING, Background
from responses_api.catalog import card, codex_catalog
from responses_api.circuits import Circuits
from responses_api.conversations import Conversations
from responses_api.convert.exchange import Exchange
from responses_api.directory import Directory
from responses_api.errors import (
    BadAnswerError,
    ContextLengthError,
    EngineError,
    EngineRefusalError,
    GatewayError,
    ShuttingDownError,
    ToldError,
    UnservedError,
)
from responses_api.ledger import SPOOL_BYTES, Away, Ledger, Writer
from responses_api.limits import Limits
from responses_api.loads import Loads
from responses_api.placing import Placing
from responses_api.recalling import Recalling
from responses_api.recording import Recording
from responses_api.retries import RetryBudget
from responses_api.sealing import Sealing
from responses_api.sessions import Sessions
from responses_api.snapshot import ProfileView
from responses_api.sse import CONTENT_TYPE
from responses_api.store import Store
from responses_api.stored import Asked, StoredResponses
from responses_api.streaming import Outlet, relay
from responses_api.trace import JSON, Arrival, Reply, Trace, new_id, ours
from responses_api.upstream import STALL_SECONDS, Upstream, UpstreamAnswer, UpstreamStream

logger = logging.getLogger(__name__)

# Clients give a stream up that is silent for minutes; proxies, often, after one.
HEARTBEAT_SECONDS = 15
KEEP_DAYS = 30
KEY_REFUSED = frozenset({401, 403})
NO_SUCH_PATH = frozenset({404, 405})


class Gateway:
    """The gateway of one event loop. `answer`, `models` and `model` return a reply, whatever happens."""

    def __init__(
        self,
        *,
        cookie_secret: bytes,
        secure_cookies: bool,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        retry_budget: RetryBudget | None = None,
        stores: bool = True,
        keep_days: int = KEEP_DAYS,
        background_running: int = MAX_RUNNING,
        spool: Path | None = None,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        """A streamed answer that is silent for `heartbeat_seconds` says that it goes on; an engine that is silent for
        `stall_seconds` in the middle of one is taken for dead. `retry_budget`: what asking again may cost. `stores`:
        whether responses are stored, and for how many days: 0 is for ever. `background_running`: how many are worked on
        in the background at once. `spool`: the folder for what the ledger writes while the database is away, and how
        many bytes that may be.
        """
        self.ledger = Ledger(writer=Writer(away=Away(spool, max_bytes=spool_bytes)))
        self.directory = Directory(beside=self.ledger.read_moves)
        self.upstream = Upstream(stall_seconds=stall_seconds)
        self.store = Store()
        self._recalling = Recalling(self.store, stores=stores, keep_days=keep_days)
        self._loads = Loads(self.directory, self.upstream)
        self._limits = Limits(self.directory, self.ledger)
        self._sessions = Sessions(self.directory, self.ledger, self._loads, self._limits, self.store, cookie_secret)
        self._circuits = Circuits(self.directory, self.ledger)
        placing = Placing(self.directory, self._sessions, self._circuits)
        self.admission = Admission(self.directory, self._limits)
        self._asking = Asking(placing, self._circuits, self._limits, self.upstream, retry_budget or RetryBudget())
        self._sealing = Sealing(cookie_secret)
        self._background = Background(
            self.ledger, self.store, work=self._work_in_background, max_running=background_running
        )
        self.responses = StoredResponses(self.ledger, self.store, self._background, heartbeat_seconds=heartbeat_seconds)
        self.conversations = Conversations(self.ledger, self.store, stores=stores)
        self._cookie_secret = cookie_secret
        self._secure_cookies = secure_cookies
        self._heartbeat_seconds = heartbeat_seconds

    async def close(self) -> None:
        """Write what is queued and close every connection."""
        await self._background.close()
        await self._loads.close()
        await self._asking.close()
        await self._circuits.close()
        await self._limits.close()
        await self.ledger.close()
        await self.upstream.close()
        await self.store.close()
        await self.directory.close()

    async def answer(self, kind: Callable[[bytes], Exchange], arrival: Arrival, outlet: Outlet) -> Reply | None:
        """Answer a request of one API, whose exchange `kind` makes of the body; None if the answer was streamed into
        the outlet.

        Raises CancelledError alone: the caller has left.
        """
        try:
            caller = await self.admission.caller(arrival)
            exchange = kind(arrival.body)
            exchange.seal = self._sealing.of(caller.id)
            profile = await self.admission.profile(caller, exchange.model)
            left = self.admission.count(caller, arrival.at)
        except Exception as error:  # noqa: BLE001  (_refusal logs what is not ours)
            return _refusal(arrival, error)
        trace = Trace.begin(arrival, exchange, caller, self._circuits.pool(profile), new_id(exchange.id_prefix))
        trace.limit_headers = left
        with self.admission.inside(caller):
            if exchange.in_background:
                return await self._begin_in_background(trace, outlet)
            return await self._conclude(trace, outlet, prepare=self._prepare)

    async def _prepare(self, trace: Trace) -> None:
        """Let the profile's settings hold, and the request have what it refers to. Raises GatewayError."""
        exchange, settings = trace.exchange, trace.profile.settings
        exchange.use(settings)
        if paths := exchange.audio_paths():
            exchange.attach(await audio_files.read(settings.audio_root, paths))
        with self.ledger.nothing_missing():
            await self._recalling.recall(trace)

    async def _begin_in_background(self, trace: Trace, outlet: Outlet) -> Reply | None:
        """Return the queued response, or stream its events; the work goes on without the caller."""
        try:
            await self._prepare(trace)
            body, recording = await self._background.begin(trace)
        except Exception as error:  # noqa: BLE001
            told = ours(trace.arrival, error)
            trace.failed(told)
            return await self._commit(trace, _told(trace.arrival, told))
        if not trace.exchange.wants_stream:
            return Reply(OK, body)
        await outlet.start([])
        await recording.read_to(outlet, number=-1, heartbeat_seconds=self._heartbeat_seconds)
        return None

    async def _work_in_background(self, trace: Trace, recording: Recording) -> None:
        with self.admission.inside():
            reply = await self._conclude(trace, recording)
        if reply is not None and trace.exchange.wants_stream:
            await recording.end(reply.body)

    async def _conclude(
        self, trace: Trace, outlet: Outlet, *, prepare: Callable[[Trace], Awaitable[None]] | None = None
    ) -> Reply | None:
        """Serve the request and record it; None if the answer was streamed into the outlet."""
        try:
            return await self._served(trace, outlet, prepare)
        finally:
            self._asking.stand_up(trace)

    async def _served(
        self, trace: Trace, outlet: Outlet, prepare: Callable[[Trace], Awaitable[None]] | None
    ) -> Reply | None:
        try:
            if prepare is not None:
                await prepare(trace)
            served = await self._serve(trace)
        except asyncio.CancelledError:
            if not self.admission.ends_me():
                trace.abandoned()
                self.ledger.record_soon(trace.finish(), trace.place)
                raise
            served = _refusal(trace.arrival, ShuttingDownError(), trace)
        except Exception as error:  # noqa: BLE001
            served = _refusal(trace.arrival, error, trace)
        headers = trace.headers(self._cookie_secret, secure_cookies=self._secure_cookies)
        if isinstance(served, UpstreamStream):
            await relay(
                trace,
                served,
                outlet,
                headers,
                self.ledger,
                ask=self._asking.aside,
                is_ended=self.admission.ends_me,
                heartbeat_seconds=self._heartbeat_seconds,
            )
            self._asking.heard(trace, served)
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

    async def about_stored(
        self,
        handle: Callable[[Asked], Awaitable[Reply | None]],
        arrival: Arrival,
        names: dict[str, str],
        query: dict[str, str],
    ) -> Reply | None:
        """Return the answer of a method of `responses` or `conversations`; None if it was streamed."""
        try:
            caller = await self.admission.caller(arrival)
            with self.ledger.nothing_missing():
                return await handle(Asked(caller, names, query, arrival.body))
        except Exception as error:  # noqa: BLE001
            return _refusal(arrival, error)

    async def admit(self, arrival: Arrival) -> Reply | None:
        """Return why whoever calls may not; None if they may."""
        try:
            await self.admission.caller(arrival)
        except Exception as error:  # noqa: BLE001
            return _refusal(arrival, error)
        return None

    async def ready(self) -> Reply:
        """Return whether requests should be sent here, and if not, why."""
        why = "shutting down" if self.admission.is_closed else self.ledger.trouble
        try:
            await self.directory.snapshot()
        except GatewayError as error:
            why = why or error.message
        return Reply(503 if why else OK, wire.encode({"status": why or "ready"}))

    async def models(self, arrival: Arrival) -> Reply:
        """List the profiles that the caller may use."""
        try:
            profiles = await self.admission.profiles(await self.admission.caller(arrival))
        except Exception as error:  # noqa: BLE001
            return _refusal(arrival, error)
        cards = [card(profile) for profile in profiles]
        return Reply(OK, wire.encode({"object": "list", "data": cards}))

    async def model(self, arrival: Arrival, name: str) -> Reply:
        """Describe one profile."""
        return await self._describe(arrival, name, card)

    async def codex_catalog(self, arrival: Arrival, name: str) -> Reply:
        """Describe one profile to Codex."""
        return await self._describe(arrival, name, codex_catalog)

    async def _describe(
        self, arrival: Arrival, name: str, describe: Callable[[ProfileView], dict[str, object]]
    ) -> Reply:
        try:
            profile = await self.admission.profile(await self.admission.caller(arrival), name)
        except Exception as error:  # noqa: BLE001
            return _refusal(arrival, error)
        return Reply(OK, wire.encode(describe(profile)))

    async def _serve(self, trace: Trace) -> Reply | UpstreamStream:
        """Return the reply; the engine's stream if it has begun to stream."""
        exchange = trace.exchange
        await self._sessions.find(trace)
        if (local := exchange.without_engine(trace.stamp())) is not None:
            trace.answered_alone(local)
            return Reply(OK, local.body, content_type=_content_type(exchange))
        answer = await self._asking.ask(trace)
        if isinstance(answer, UpstreamStream):
            return answer
        if answer.status == OK and (status := wire.status_of_error(answer.body)) is not None:
            answer = answer._replace(status=status)
        if answer.status != OK:
            return _engine_error(trace, answer)
        if exchange.wants_stream:
            raise BadAnswerError("The engine was asked to stream its answer, and did not.")
        if (question := exchange.after(answer.body)) is not None:
            try:
                await self._asking.aside(trace, question)
            except ToldError as error:
                return _engine_error(trace, UpstreamAnswer(error.told_status, wire.encode(error.body()), headers={}))
        written = exchange.answer(answer.body, trace.stamp())
        trace.answered(written)
        return Reply(OK, written.body)


def _engine_error(trace: Trace, answer: UpstreamAnswer) -> Reply:
    """Return the empty answer to a prompt that does not fit, if the profile wants it so.

    Raises:
        ContextLengthError: if the profile wants the error.
        EngineRefusalError: if the engine says that the request is wrong.
        EngineError: if the engine itself is.
    """
    message, detail = words(answer)
    if found := verdict.overflow(answer.status, detail.message, trace.exchange.sent):
        trace.overflowed(found)
        exchange = trace.exchange
        if exchange.settings.context_overflow == "error" or not exchange.generates:
            told = exchange.too_long(message, prompt=found.prompt, asked=found.asked, limit=found.limit)
            raise ContextLengthError(told, param=exchange.input_param)
        return Reply(OK, exchange.empty_answer(trace.stamp()), content_type=_content_type(exchange))
    if answer.status in KEY_REFUSED:  # passed on, it would send callers to look at their own key
        raise EngineError(f"The engine refused the key of its endpoint: {message}")
    if answer.status in NO_SUCH_PATH and message in ("Not Found", "Method Not Allowed"):
        raise UnservedError(trace.row.profile_name, trace.exchange.path)
    if 400 <= answer.status < 500:  # noqa: PLR2004
        raise EngineRefusalError(
            message,
            status=answer.status,
            param=detail.param if isinstance(detail.param, str) else None,
            code=detail.code if isinstance(detail.code, str) else None,
            retry_after=_printable(answer.headers.get("retry-after", "")),
        )
    raise EngineError(message)


def _content_type(exchange: Exchange) -> str:
    return CONTENT_TYPE if exchange.wants_stream else JSON


def _printable(header: str) -> str:
    """Return a header of an engine if it can be passed on."""
    return header if header.isascii() and header.isprintable() else ""


def _refusal(arrival: Arrival, error: Exception, trace: Trace | None = None) -> Reply:
    """Return the reply for an error and note it in the trace. One in the background has a caller to come yet."""
    told = ours(arrival, error)
    if trace is not None:
        trace.failed(told)
        if trace.exchange.in_background:
            return Reply(told.status, trace.exchange.failed(told, trace.stamp()))
    return _told(arrival, told)


def _told(arrival: Arrival, error: GatewayError) -> Reply:
    return Reply(error.status, wire.encode(arrival.error_body(error)), error.headers())
