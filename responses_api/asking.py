"""An engine's answer to a request: attempts, and another engine if one gives none."""

import time

from responses_api import sse, verdict, wire
from responses_api.circuits import Circuits
from responses_api.convert.answer import Question
from responses_api.errors import (
    BusyError,
    ConnectError,
    EngineBusyError,
    EngineError,
    NoEngineError,
    RetryableError,
    ToldError,
)
from responses_api.limits import Entry, Limits
from responses_api.media import refuse_remote
from responses_api.placing import Effort, Placing
from responses_api.retries import RetryBudget, told_seconds
from responses_api.sessions import why_none
from responses_api.snapshot import EndpointView
from responses_api.trace import Trace
from responses_api.upstream import Upstream, UpstreamAnswer, UpstreamStream
from responses_api.vigil import Vigil

# How often a conversation is shortened for one answer.
MAX_SHORTENED = 8

OK = 200
BUSY = frozenset({502, 503, 504})


class Asking:
    """The questions of one event loop to its engines."""

    def __init__(
        self, placing: Placing, circuits: Circuits, limits: Limits, upstream: Upstream, budget: RetryBudget
    ) -> None:
        self._vigil = Vigil(upstream, hung=circuits.hung)
        self._placing = placing
        self._limits = limits
        self._circuits = circuits
        self._upstream = upstream
        self._budget = budget

    async def ask(self, trace: Trace) -> UpstreamAnswer | UpstreamStream:
        """Return an engine's answer. If one gives none, another is asked: what an engine answered, never.

        Raises:
            RequestError: if the request cannot be put to an engine.
            NoEngineError: if there was none to ask.
            EngineError: if none answered.
        """
        self._budget.earn()
        effort = Effort()
        while True:
            await self._sit_down(trace, effort)
            endpoint = _endpoint(trace)
            try:
                answer = await self._ask_shortened(trace)
            except RetryableError as error:
                self._circuits.failed(endpoint.id, error, trial=trace.is_trial)
                self.stand_up(trace)
                if not self._may_go_on(trace, effort, error):
                    raise
                effort.tried.add(endpoint.id)
                effort.error = error
            else:
                if isinstance(answer, UpstreamStream):
                    self._circuits.reached(endpoint.id)
                else:
                    self._circuits.answered(endpoint.id)
                return answer

    async def _sit_down(self, trace: Trace, effort: Effort) -> None:
        """Bind the request to an endpoint that may be asked, and has room for it.

        Raises:
            BusyError: if none of the pool lets it even wait.
        """
        full: set[int] = set()
        while True:
            await self._placing.place(trace, effort)
            endpoint = _endpoint(trace)
            if endpoint.max_concurrent is None:
                return
            try:
                entry = await self._limits.enter(endpoint, trace.caller.id, max(trace.seconds_left(), 0.001))
            except BusyError as error:
                full.add(endpoint.id)
                await self._go_past(trace, full | effort.tried, error)
                continue
            if entry is not Entry.ELSEWHERE:
                trace.seat = endpoint
            if entry is Entry.AT_ONCE:
                return
            await self._placing.look(trace)  # much may have changed meanwhile: it may be paused, or not be there
            await self._placing.place(trace, effort)
            if trace.seat is not None and _endpoint(trace).id == endpoint.id:
                return
            self.stand_up(trace)

    async def _go_past(self, trace: Trace, tried: set[int], error: BusyError) -> None:
        """Bind the request to another endpoint, because no more may wait for its own; raise the error if all are so."""
        profile = trace.profile
        others = {pk: name for pk, name in profile.open_to_new.items() if pk not in tried}
        if not (others := self._limits.not_full(profile.usable, others)):
            raise error
        await self._placing.go_past(trace, others, error.message)

    def stand_up(self, trace: Trace) -> None:
        """Make room for another request, if this one took any. Safe to repeat."""
        if trace.seat is not None:
            self._limits.leave(trace.seat)
            trace.seat = None

    def _may_go_on(self, trace: Trace, effort: Effort, error: RetryableError) -> bool:
        """Whether the request may be put to an engine once more."""
        patience = trace.profile.patience
        waited = effort.waited(time.monotonic())
        if isinstance(error, ConnectError):  # which has cost nothing
            others = trace.profile.open_to_new.keys() - effort.tried - {trace.endpoint and trace.endpoint.id}
            return bool(others) or trace.attempt < patience.max_attempts or waited < patience.hold
        effort.reached += 1
        return effort.reached < patience.max_attempts and self._budget.spend()

    def heard(self, trace: Trace, source: UpstreamStream) -> None:
        """Note how a stream ended: whether the engine was there to its end."""
        endpoint = _endpoint(trace)
        if source.stalled:
            self._circuits.stalled(endpoint.id, trial=trace.is_trial)
        elif not trace.row.error_code:
            self._circuits.answered(endpoint.id)

    async def _ask_shortened(self, trace: Trace) -> UpstreamAnswer | UpstreamStream:
        """Ask the session's engine; again, if the conversation does not fit and may be shortened."""
        trace.attempt += 1
        for _ in range(MAX_SHORTENED):
            answer = await self._ask_once(trace)
            if isinstance(answer, UpstreamStream) or not _shortened(trace, answer):
                break
        return answer

    async def _ask_once(self, trace: Trace) -> UpstreamAnswer | UpstreamStream:
        exchange = trace.exchange
        if (question := exchange.before()) is not None:
            answer = await self._post(trace, question)
            if answer.status != OK:
                return answer
            exchange.hear(answer.body)
        question = Question(exchange.path, exchange.engine_body())
        if not trace.profile.settings.remote_media_allowed:
            refuse_remote(question.body)
        return await (self._open(trace, question) if exchange.wants_stream else self._post(trace, question))

    async def close(self) -> None:
        """Watch over nobody any more."""
        await self._vigil.close()

    async def aside(self, trace: Trace, question: Question) -> None:
        """Put a question to the engine that has answered, and let the exchange hear what it says.

        Raises:
            ToldError: if the engine says that the conversation does not fit, of which its answer did not know.
            EngineError: if there is no good answer.
        """
        answer = await self._post(trace, question)
        if answer.status != OK:
            if verdict.overflow(answer.status, told := words(answer)[0], trace.exchange.sent):
                raise ToldError(told, told_status=answer.status)
            raise EngineError(f"The engine refused a question about its own answer: {words(answer)[0]}")
        trace.exchange.hear(answer.body)

    async def _post(self, trace: Trace, question: Question) -> UpstreamAnswer:
        endpoint, patience = _endpoint(trace), trace.profile.patience
        with trace.waiting_for_engine() as left, self._vigil.over(endpoint, patience.idle):
            answer = await self._upstream.post(
                endpoint.url(question.path),
                question.body,
                api_key=endpoint.api_key,
                headers=trace.profile.settings.default_headers,
                timeout_seconds=left,
                connect_seconds=patience.connect,
            )
        return _given(answer)

    async def _open(self, trace: Trace, question: Question) -> UpstreamAnswer | UpstreamStream:
        endpoint, patience = _endpoint(trace), trace.profile.patience
        with trace.waiting_for_engine() as left, self._vigil.over(endpoint, patience.idle):
            answer = await self._upstream.open(
                endpoint.url(question.path),
                question.body,
                api_key=endpoint.api_key,
                headers=trace.profile.settings.default_headers,
                timeout_seconds=left,
                connect_seconds=patience.connect,
                first_byte_seconds=patience.first_byte,
                idle_seconds=patience.idle,
            )
        if isinstance(answer, UpstreamStream):
            if (refusal := sse.refusal_at_start(answer.first)) is None:
                return answer
            answer.close()
            answer = UpstreamAnswer(*refusal, headers={})
        return _given(answer)


def _endpoint(trace: Trace) -> EndpointView:
    if trace.endpoint is None:
        raise NoEngineError(why_none(trace.profile))
    return trace.endpoint


def _given(answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return the answer. Raises EngineBusyError if it says that there is none now."""
    if answer.status in BUSY:
        told = told_seconds(answer.headers.get("retry-after", ""))
        raise EngineBusyError(words(answer)[0], status=answer.status, told_seconds=told)
    return answer


def _shortened(trace: Trace, answer: UpstreamAnswer) -> bool:
    """Whether the conversation did not fit and is shorter now, so that the engine can be asked again."""
    if answer.status == OK:
        return False
    found = verdict.overflow(answer.status, words(answer)[0], trace.exchange.sent)
    return found is not None and trace.exchange.shorten(prompt=found.prompt, limit=found.limit)


def words(answer: UpstreamAnswer) -> tuple[str, wire.ErrorDetail]:
    """Return what to tell the caller of an engine's error: its own words, if it has any; and all that it said."""
    detail = wire.engine_error(answer.body)
    return detail.message or f"The engine answered with HTTP status {answer.status} and no message.", detail
