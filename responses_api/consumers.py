"""The ASGI face of /v1/*: bytes in, bytes out, and an end to the work when the caller leaves.

Served by Channels and not by Django views, which cost ten times as much a request.
"""

import asyncio
import gc
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from channels.generic.http import AsyncHttpConsumer
from django.conf import settings

from responses_api import wire
from responses_api.convert.exchange import ChatExchange, Exchange, ResponsesExchange
from responses_api.errors import BodyTooLargeError, GatewayError, MethodNotAllowedError, PathNotFoundError
from responses_api.gateway import Gateway
from responses_api.sse import CONTENT_TYPE
from responses_api.trace import Arrival, Reply, new_id

MAX_BODY_BYTES = 64 * 2**20
MAX_REQUEST_ID = 200

_gateways: WeakKeyDictionary[asyncio.AbstractEventLoop, Gateway] = WeakKeyDictionary()


def gateway() -> Gateway:
    """Return the gateway of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _gateways.get(loop)
    if found is None:
        secret = settings.SECRET_KEY.encode()
        found = _gateways[loop] = Gateway(cookie_secret=secret, secure_cookies=settings.SECURE_COOKIES)
    return found


async def lifespan(_scope: Any, receive: Any, send: Any) -> None:
    """Close the loop's gateway when the server stops, so that what is queued is written."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            # Django and its applications are here to stay: searching them for garbage, again and again, would hold
            # every request up for 60 ms at a time.
            gc.collect()
            gc.freeze()
            await send({"type": "lifespan.startup.complete"})
        else:
            if found := _gateways.pop(asyncio.get_running_loop(), None):
                await found.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


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

    async def too_large(self) -> None:
        """Answer a request whose body is larger than MAX_BODY_BYTES."""
        raise NotImplementedError


class GatewayConsumer(StreamingHttpConsumer):
    """One path of the gateway, called with one method."""

    method: ClassVar[str] = "POST"

    async def handle(self, body: bytes) -> None:
        """Answer the request."""
        arrival = self.arrival(body)
        if self.scope["method"] != self.method:
            error = MethodNotAllowedError(self.scope["method"], self.scope["path"], allowed=self.method)
            await self.reply(arrival, refused(error))
        elif (reply := await self.answer(arrival)) is not None:
            await self.reply(arrival, reply)

    async def answer(self, arrival: Arrival) -> Reply | None:
        """Return the reply to a request with the right method; None if it was streamed."""
        raise NotImplementedError

    async def too_large(self) -> None:
        """Answer 413 without reading on; the server then closes the connection."""
        await self.reply(self.arrival(b""), refused(BodyTooLargeError(MAX_BODY_BYTES)))

    def arrival(self, body: bytes) -> Arrival:
        """Return the request as the gateway takes it."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            # HTTP/2 clients may send cookies in several headers; of any other, the first one counts.
            headers[name] = (
                f"{headers[name]}; {value}" if name == "cookie" and name in headers else headers.get(name, value)
            )
        return Arrival(headers, body, _request_id(headers.get("x-request-id", "")))

    async def reply(self, arrival: Arrival, reply: Reply) -> None:
        """Send the reply."""
        headers = [*_headers(arrival, reply.headers, reply.content_type), _length(reply.body)]
        await self.send_response(reply.status, reply.body, headers=headers)


def _headers(arrival: Arrival, headers: list[tuple[str, str]], content_type: str) -> list[tuple[bytes, bytes]]:
    return [
        *((name.lower().encode(), value.encode()) for name, value in headers),
        (b"content-type", content_type.encode()),
        (b"x-request-id", arrival.request_id.encode()),
    ]


def _length(body: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % len(body))


def refused(error: GatewayError) -> Reply:
    """Return the reply for an error that needs no gateway."""
    return Reply(error.status, wire.encode(error.body()), error.headers())


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
        await self._consumer.send_body(data, more_body=True)

    async def end(self, data: bytes) -> None:
        """Send the last piece of the body."""
        await self._consumer.send_body(data)


class ExchangeConsumer(GatewayConsumer):
    """A path that asks an engine."""

    exchange: ClassVar[type[Exchange]]

    async def answer(self, arrival: Arrival) -> Reply | None:
        """Ask an engine."""
        return await gateway().answer(self.exchange, arrival, EventStream(self, arrival))


class ResponsesConsumer(ExchangeConsumer):
    """POST /v1/responses."""

    exchange = ResponsesExchange


class ChatConsumer(ExchangeConsumer):
    """POST /v1/chat/completions."""

    exchange = ChatExchange


class ModelsConsumer(GatewayConsumer):
    """GET /v1/models."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:
        """List the profiles."""
        return await gateway().models(arrival)


class ModelConsumer(GatewayConsumer):
    """GET /v1/models/{name}."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:
        """Describe one profile."""
        return await gateway().model(arrival, self.scope["url_route"]["kwargs"]["name"])


class UnknownConsumer(GatewayConsumer):
    """Any other path below /v1."""

    async def handle(self, body: bytes) -> None:
        """Answer 404, whatever the method."""
        error = PathNotFoundError(self.scope["method"], self.scope["path"])
        await self.reply(self.arrival(body), refused(error))
