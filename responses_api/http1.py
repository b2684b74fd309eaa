"""HTTP/1.1 on one connection to an engine: the gateway's only importer of httptools.

A request is one write, and an answer wakes whoever waits for it once for each piece that arrives. A client library does
far more for a request that nothing here would use: `docs/decisions/0005-own-http-client.md`.
"""

import asyncio
import os
import socket
import ssl
from typing import Protocol, cast

import httptools

from responses_api.errors import BrokenOffError

# Of an answer that nobody reads, so much is kept here before its engine has to wait.
HIGH_WATER_BYTES = 2**18
MAX_HEAD_BYTES = 2**16
# A body that is longer is not copied to go out with its head.
MAX_JOINED_BYTES = 2**16


def say(error: Exception) -> str:
    """Return what happened in the system's words, without the engine's address: callers see this."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS as it should ({error.reason or 'no reason is known'})"
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno and error.errno > 0 else "no connection"
    return "its address cannot be used"


def _broken_off(why: str) -> BrokenOffError:
    return BrokenOffError(f"The engine broke the connection off: {why}")


class Keeper(Protocol):
    """Who keeps the connections."""

    def free(self, connection: "Connection") -> None:
        """Take a connection that may be used again."""
        ...

    def lost(self, connection: "Connection") -> None:
        """Forget a connection."""
        ...


class Response:
    """An engine's answer as it comes. Who waits gives the time, on the loop's clock, at which to give up."""

    __slots__ = ("_chunks", "_connection", "_error", "_kept", "_waiter", "begun", "ended", "headers", "status")

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}  # by small-letter name; of several with one name, the first
        self.begun = self.ended = False
        self._connection: Connection | None = connection  # as long as it is this answer's
        self._chunks: list[bytes] = []
        self._kept = 0  # bytes in them
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def beginning(self, until: float) -> None:
        """Wait for the headers. Raises as `read` does."""
        while not self.begun:
            await self._more(until)

    async def read(self, until: float) -> bytes:
        """Return what has come of the body, b"" at its end.

        Raises:
            BrokenOffError: the connection ended before the answer did.
            TimeoutError: nothing came until then.
        """
        while not self._chunks:
            if self.ended:
                return b""
            await self._more(until)
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self._kept > HIGH_WATER_BYTES and self._connection is not None:
            self._connection.go_on()
        self._kept = 0
        return data

    async def _more(self, until: float) -> None:
        if self._connection is None:
            raise self._error or _broken_off("it was closed")
        self._waiter = self._connection.waiter(until)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self, data: bytes) -> bool:
        """Take a piece of the body; return whether that is enough for now."""
        self._chunks.append(data)
        self._kept += len(data)
        return self._kept > HIGH_WATER_BYTES

    def wake(self) -> None:
        """Let whoever waits look."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def give_up(self) -> None:
        """Let whoever waits know that the time is over."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def release(self, error: Exception | None = None) -> None:
        """Part with the connection: the answer has ended, or broken off with an error."""
        self._connection, self._error = None, error
        self.wake()

    def close(self) -> None:
        """Close the connection, unless the answer has ended. Safe to repeat."""
        if self._connection is not None:
            self._connection.abort()


class Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, keeper: Keeper) -> None:
        self.idle_since = 0.0  # on the loop's clock
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._is_done = self._may_stay = self._has_end = False
        self._head_bytes = 0
        # A timer runs on past the waits that it was set for, and looks when it rings: what comes in time costs none.
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    def ask(self, head: bytes, body: bytes) -> Response:
        """Send a request; return its answer to be."""
        response = Response(self)
        if self._transport is None:
            response.release(_broken_off("it was closed"))
            return response
        self._response, self._is_done, self._head_bytes = response, False, 0
        start = b"%b\r\nContent-Length: %d\r\n\r\n" % (head, len(body))
        if len(body) <= MAX_JOINED_BYTES:
            self._transport.write(start + body)
        else:
            self._transport.write(start)
            self._transport.write(body)
        return response

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._transport is not None and not self._transport.is_closing()

    def waiter(self, until: float) -> asyncio.Future[None]:
        """Return the future of a wait that ends then at the latest."""
        self._until = until
        if self._timer is None or until < self._timer.when():
            self._stop_timer()
            self._timer = self._loop.call_at(until, self._ring)
        return self._loop.create_future()

    def _ring(self) -> None:
        self._timer = None
        if self._response is None:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._ring)
        else:
            self._response.give_up()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def go_on(self) -> None:
        """Read on, after `HIGH_WATER_BYTES`."""
        if self.is_open and self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once: vLLM notices and stops its work."""
        self._part(_broken_off("it was closed"))
        if self._transport is not None:
            self._transport.abort()

    def _part(self, error: Exception | None = None) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.release(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, if it has no other end; else break it off."""
        if (response := self._response) is not None:
            if response.begun and not self._has_end and exc is None:
                response.ended = True
                self._part()
            elif exc is not None:
                self._part(_broken_off(say(exc)))
            else:
                self._part(_broken_off("its answer was cut off" if response.begun else "there was no answer"))
        self._stop_timer()
        self._transport = self._parser = None
        self._keeper.lost(self)

    def data_received(self, data: bytes) -> None:
        """Let the parser take what came."""
        response, parser = self._response, self._parser
        if response is None or parser is None:  # nobody asked
            self.abort()
            return
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._may_stay = False
            if not self._is_done:
                self._part(_broken_off("its answer was garbled" if response.begun else "its answer is not HTTP"))
                self.abort()
                return
        if self._is_done:
            self._end()
            return
        if not response.begun:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._part(_broken_off("its answer's head is too long"))
                self.abort()
            return
        response.wake()

    def _end(self) -> None:
        """Part with an answer that has ended; let others use the connection, if both sides would."""
        transport = self._transport
        self._part()
        if transport is None or not self._may_stay or transport.get_write_buffer_size():
            self.abort()
            return
        transport.resume_reading()
        self.idle_since = self._loop.time()
        self._keeper.free(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Expect one answer."""
        if self._is_done:
            self._may_stay = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if self._response is not None and not self._is_done:
            self._response.headers.setdefault(name.lower().decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Begin the answer, unless more of its kind is to come: 1xx only announces it."""
        response, parser = self._response, self._parser
        if response is None or parser is None or self._is_done:
            return
        status = parser.get_status_code()
        if status < 200:  # noqa: PLR2004
            response.headers.clear()
            return
        response.status, response.begun = status, True
        self._has_end = "content-length" in response.headers or "transfer-encoding" in response.headers

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body; let the engine wait if there is too much."""
        if self._response is not None and not self._is_done and self._response.take(body) and self._transport:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """End the answer."""
        if self._response is not None and self._parser is not None and self._response.begun and not self._is_done:
            self._is_done = self._response.ended = True
            self._may_stay = self._parser.should_keep_alive()
