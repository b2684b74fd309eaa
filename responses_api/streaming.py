"""A streamed answer on its way from an engine to the caller, in the ledger before its end leaves.

Once the first byte has left nothing raises, because no server can tell a client of an exception in a body that has
begun: the stream ends with an error in its own words and a closed body.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from responses_api import verdict
from responses_api.convert.answer import AnswerStream, Question
from responses_api.errors import (
    BrokenOffError,
    ContextLengthError,
    EngineError,
    GatewayError,
    ShuttingDownError,
    ToldError,
)
from responses_api.ledger import Ledger
from responses_api.trace import Trace, ours
from responses_api.upstream import UpstreamStream

logger = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where a streamed answer goes. Each call returns when more can be taken: a slow reader slows the engine."""

    async def start(self, headers: list[tuple[str, str]]) -> None:
        """Send the status and the headers."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        ...

    async def end(self, data: bytes) -> None:
        """Send the last piece of the body."""
        ...


async def relay(
    trace: Trace,
    source: UpstreamStream,
    outlet: Outlet,
    headers: list[tuple[str, str]],
    ledger: Ledger,
    *,
    ask: Callable[[Trace, Question], Awaitable[None]],
    is_ended: Callable[[], bool],
    heartbeat_seconds: float,
) -> None:
    """Send the engine's stream to the caller in the caller's API, and record it. `ask` puts a further question to the
    engine and lets the exchange hear the answer. `is_ended` says of a cancellation whether this process ends.

    Raises CancelledError alone: the caller has left, which closes the connection to the engine.
    """
    stream = trace.exchange.stream(trace.stamp())
    try:
        try:
            await outlet.start(headers)
            end = await _carry(trace, source, stream, outlet, ask, heartbeat_seconds)
        except asyncio.CancelledError:
            if not is_ended():
                trace.abandoned()
                ledger.record_soon(trace.finish(), trace.place)
                raise
            end = _badly_ended(trace, stream, ShuttingDownError())
        # From here on the answer is recorded: a caller who leaves now has not missed it.
        await outlet.end(await _commit(trace, stream, end, ledger))
    finally:
        source.close()


async def _carry(
    trace: Trace,
    source: UpstreamStream,
    stream: AnswerStream,
    outlet: Outlet,
    ask: Callable[[Trace, Question], Awaitable[None]],
    heartbeat_seconds: float,
) -> bytes:
    """Send all but the end, and return that; note in the trace what it is."""
    started = time.monotonic()
    try:
        await _flow(source, stream, outlet, heartbeat_seconds)
        if (question := stream.after()) is not None:
            await ask(trace, question)
        answer = stream.finish(int(time.time()))
    except Exception as error:  # noqa: BLE001  (`ours` logs what is not ours)
        source.close()  # the engine need not go on while the row is written
        return _badly_ended(trace, stream, ours(trace.arrival, error))
    finally:
        trace.engine_seconds += time.monotonic() - started
    trace.answered(answer)
    return answer.body


def _badly_ended(trace: Trace, stream: AnswerStream, error: GatewayError) -> bytes:
    """Return the end of an answer that went wrong; note in the trace how."""
    sent = trace.exchange.sent
    found = verdict.overflow(error.told_status, error.message, sent) if isinstance(error, ToldError) else None
    if found is not None:
        trace.overflowed(found)
        if trace.exchange.settings.context_overflow == "empty" and (end := stream.emptied()) is not None:
            return end
        error = ContextLengthError(error.message, param=trace.exchange.input_param)
    trace.broke(error)
    return stream.fail(error)


async def _flow(source: UpstreamStream, stream: AnswerStream, outlet: Outlet, heartbeat_seconds: float) -> None:
    """Send what the engine sends until it has said all.

    Raises:
        EngineError: if it did not.
    """
    data: bytes | None = source.first
    while True:
        if sent := stream.still_going() if data is None else stream.feed(data):
            await outlet.write(sent)
        if stream.error is not None:
            raise stream.error
        if stream.is_done:
            return
        try:
            data = await source.read(heartbeat_seconds)
            if data == b"":
                raise BrokenOffError("The engine ended its answer in the middle.")
        except EngineError:
            if stream.said_all:
                return
            raise


async def _commit(trace: Trace, stream: AnswerStream, end: bytes, ledger: Ledger) -> bytes:
    """Return the end of the stream once it is in the ledger; what cannot be recorded ends as failed."""
    try:
        await ledger.record(trace.finish(), trace.place)
    except GatewayError as error:
        logger.warning("A streamed answer is not in the ledger: %s", trace.row.response_id)
        return stream.fail(error)
    return end
