"""What every consumer stands on: bytes in, bytes out, and an end to the work when the caller leaves."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

from channels.generic.http import AsyncHttpConsumer
from django.conf import settings

from responses_api import wire
from responses_api.consumers import farewell
from responses_api.errors import BodyTooLargeError, EncodedBodyError, GatewayError, MethodNotAllowedError
from responses_api.gateway import Gateway
from responses_api.retries import RetryBudget
from responses_api.sse import CONTENT_TYPE
from responses_api.trace import Arrival, Reply, new_id

MAX_BODY_BYTES = 64 * 2**20
MAX_REQUEST_ID = 200

_gateways: WeakKeyDictionary[asyncio.AbstractEventLoop, Gateway] = WeakKeyDictionary()
_with_lifespan: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def gateway() -> Gateway:
    """Return the gateway of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _gateways.get(loop)
    if found is None:
        found = _gateways[loop] = Gateway(
            cookie_secret=settings.SECRET_KEY.encode(),
            secure_cookies=settings.SECURE_COOKIES,
            heartbeat_seconds=settings.HEARTBEAT_SECONDS,
            stall_seconds=settings.STALL_SECONDS,
            retry_budget=RetryBudget(share=settings.RETRY_SHARE, burst=settings.RETRY_BURST),
            stores=settings.STORE_RESPONSES,
            keep_days=settings.STORE_DAYS,
            background_running=settings.BACKGROUND_RUNNING,
            spool=settings.DATA_DIR.spool if settings.SPOOL_MIB else None,
            spool_bytes=settings.SPOOL_MIB * 2**20,
        )
        if loop not in _with_lifespan:
            farewell.listen(_end)
    return found


def expect_lifespan() -> None:
    """Note that the running loop's server says when it ends. Daphne does not."""
    _with_lifespan.add(asyncio.get_running_loop())


async def _end() -> None:
    if (found := known_gateway()) is not None:
        await found.admission.close(settings.SHUTDOWN_SECONDS)
        await found.close()


def forget_gateway() -> Gateway | None:
    """Return the gateway of the running event loop, if there is one, to be closed."""
    return _gateways.pop(asyncio.get_running_loop(), None)


def known_gateway() -> Gateway | None:
    """Return the gateway of the running event loop, if it has served a request yet."""
    return _gateways.get(asyncio.get_running_loop())


class StreamingHttpConsumer(AsyncHttpConsumer):
    """An HTTP consumer whose `handle` is cancelled as soon as the client leaves.

    Channels' own never looks: nobody calls `receive` while its `handle` runs. This one reads the messages itself, and
    so needs no dispatch, no channel layer, and no thread that closes database connections: none are open here.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request: gather its body, then race the work against the client's leaving."""
        self.scope, self.base_send, self.client_left = scope, send, False
        body = await self.read(receive)
        if body is None:
            return
        work = asyncio.current_task()
        watcher = asyncio.create_task(self._cancel_when_gone(receive, work))
        try:
            await self.handle(body)
        except asyncio.CancelledError:
            if work is None or not self.client_left:
                raise  # the server stops
            work.uncancel()
        finally:
            watcher.cancel()

    async def _cancel_when_gone(self, receive: Any, work: asyncio.Task[Any] | None) -> None:
        await receive()  # only http.disconnect is left to come
        self.client_left = True
        if work is not None:
            work.cancel()

    async def read(self, receive: Any) -> bytes | None:
        """Return the whole body; None if there is nobody to serve: the client left, or sent too much."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_BODY_BYTES:
                await self.too_large()
                return None
            if not message.get("more_body"):
                return b"".join(chunks)
            if len(chunks) == 1 and not await self.may_go_on():
                return None

    async def may_go_on(self) -> bool:
        """Whether the rest of a long body is worth reading; if not, the request was answered."""
        return True

    async def too_large(self) -> None:
        """Answer a request whose body is larger than MAX_BODY_BYTES."""
        raise NotImplementedError


class GatewayConsumer(StreamingHttpConsumer):
    """One path of the gateway, called with one method."""

    method: ClassVar[str] = "POST"

    async def handle(self, body: bytes) -> None:
        """Answer the request."""
        arrival = self.arrival(body)
        if (mistake := self._mistake(arrival)) is not None:
            await self.refuse(arrival, mistake)
        elif (reply := await self.answer(arrival)) is not None:
            await self.reply(arrival, reply)

    @property
    def asked(self) -> str:
        """The method. HEAD asks for what GET does; the server leaves the body out."""
        method: str = self.scope["method"]
        return "GET" if method == "HEAD" else method

    def methods(self) -> Iterable[str]:
        """Return the methods that the path is called with."""
        return (self.method,)

    def _mistake(self, arrival: Arrival) -> GatewayError | None:
        """Return what is wrong with the request, whatever its body says."""
        if self.asked not in self.methods():
            allowed = ", ".join(method.replace("GET", "GET, HEAD") for method in self.methods())
            return MethodNotAllowedError(self.scope["method"], self.scope["path"], allowed=allowed)
        encoding = arrival.headers.get("content-encoding", "identity")
        if arrival.body and encoding.lower() not in {"", "identity"}:
            return EncodedBodyError(encoding)
        return None

    async def answer(self, arrival: Arrival) -> Reply | None:
        """Return the reply to a request with the right method; None if it was streamed."""
        raise NotImplementedError

    async def may_go_on(self) -> bool:
        """Refuse the long body of whoever has no key before it is read."""
        arrival = self.arrival(b"")
        if (refusal := await gateway().admit(arrival)) is None:
            return True
        await self.reply(arrival, refusal)
        return False

    async def too_large(self) -> None:
        """Answer 413 without reading on; the server then closes the connection."""
        await self.refuse(self.arrival(b""), BodyTooLargeError(MAX_BODY_BYTES))

    def arrival(self, body: bytes) -> Arrival:
        """Return the request as the gateway takes it."""
        headers = headers_of(self.scope)
        return Arrival(headers, body, _request_id(headers.get("x-request-id", "")), self.error_body)

    def error_body(self, error: GatewayError) -> dict[str, object]:
        """Return the body of an error in the words of the path's API."""
        return error.body()

    async def refuse(self, arrival: Arrival, error: GatewayError) -> None:
        """Send an error that needs no gateway."""
        await self.reply(arrival, refused(error, self.error_body(error)))

    async def reply(self, arrival: Arrival, reply: Reply) -> None:
        """Send the reply."""
        headers = [*_headers(arrival, reply.headers, reply.content_type), _length(reply.body)]
        # As `send_response` does it, without the five coroutines that it makes of it.
        await self.base_send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self.base_send({"type": "http.response.body", "body": reply.body})


def headers_of(scope: Any) -> dict[str, str]:
    """Return the request's headers by small-letter name."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        # HTTP/2 clients may send cookies in several headers; of any other, the first one counts.
        headers[name] = (
            f"{headers[name]}; {value}" if name == "cookie" and name in headers else headers.get(name, value)
        )
    return headers


def _headers(arrival: Arrival, headers: list[tuple[str, str]], content_type: str) -> list[tuple[bytes, bytes]]:
    return [
        *((name.lower().encode(), value.encode()) for name, value in headers),
        (b"content-type", content_type.encode()),
        (b"x-request-id", arrival.request_id.encode()),
    ]


def _length(body: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % len(body))


def refused(error: GatewayError, body: dict[str, object] | None = None) -> Reply:
    """Return the reply for an error that needs no gateway; `body` are its words, if they are not OpenAI's."""
    return Reply(error.status, wire.encode(body or error.body()), error.headers())


def _request_id(given: str) -> str:
    """Return the caller's own request id if it can go into a header and a log; else a new one."""
    good = 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()
    return given if good else new_id("req")


class EventStream:
    """The body of an answer that is streamed. Each call waits until the server takes more."""

    def __init__(self, consumer: GatewayConsumer, arrival: Arrival) -> None:
        self._consumer = consumer
        self._arrival = arrival

    async def start(self, headers: list[tuple[str, str]]) -> None:
        """Send the status and the headers."""
        # Proxies would gather the events, or keep them: nginx is told by a header of its own.
        stream = [*headers, ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
        await self._consumer.send_headers(status=200, headers=_headers(self._arrival, stream, CONTENT_TYPE))

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._consumer.base_send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        """Send the last piece of the body."""
        await self._consumer.send_body(data)
