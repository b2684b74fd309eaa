"""The ASGI face of /v1/*: bytes in, bytes out, and an end to the work when the caller leaves.

Served by Channels and not by Django views, which cost ten times as much a request.
"""

import asyncio
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from django.conf import settings

from responses_api import wire
from responses_api.convert.exchange import ChatExchange, Exchange, ResponsesExchange
from responses_api.errors import BodyTooLargeError, GatewayError, MethodNotAllowedError, PathNotFoundError
from responses_api.gateway import Gateway, new_id
from responses_api.trace import Arrival, Reply

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
            await send({"type": "lifespan.startup.complete"})
        else:
            if found := _gateways.pop(asyncio.get_running_loop(), None):
                await found.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


class StreamingHttpConsumer(AsyncHttpConsumer):
    """An HTTP consumer whose `handle` is cancelled as soon as the client leaves.

    Channels' own never looks: nobody calls `receive` while `handle` runs.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        self.receive = receive
        self.size = 0
        await super().__call__(scope, receive, send)

    async def dispatch(self, message: Any) -> None:
        """Do what Channels' own does, without its hop to a thread to close database connections: none are open here."""
        if message["type"] == "http.request":
            await self.http_request(message)
        else:
            await self.http_disconnect(message)

    async def http_request(self, message: Any) -> None:
        """Gather the body, then race the work against the client's leaving."""
        chunk = message.get("body", b"")
        self.size += len(chunk)
        if self.size > MAX_BODY_BYTES:
            await self.too_large()
            raise StopConsumer
        self.body.append(chunk)
        if message.get("more_body"):
            return
        work = asyncio.create_task(self.handle(b"".join(self.body)))
        gone = asyncio.create_task(self.receive())  # only http.disconnect is left to come
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()  # no effect on a finished task
            await asyncio.wait({work, gone})
            await self.disconnect()
        if not work.cancelled():
            work.result()  # let the server see what handle() raised
        raise StopConsumer

    async def http_disconnect(self, _message: Any) -> None:
        """End: the client left before its request was complete."""
        raise StopConsumer

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
            return
        await self.reply(arrival, await self.answer(arrival))

    async def answer(self, arrival: Arrival) -> Reply:
        """Return the reply to a request with the right method."""
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
        headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", arrival.request_id.encode()),
        ]
        await self.send_response(reply.status, reply.body, headers=headers)


def refused(error: GatewayError) -> Reply:
    """Return the reply for an error that needs no gateway."""
    return Reply(error.status, wire.encode(error.body()), error.headers())


def _request_id(given: str) -> str:
    """Return the caller's own request id if it can go into a header and a log; else a new one."""
    good = 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()
    return given if good else new_id("req")


class ExchangeConsumer(GatewayConsumer):
    """A path that asks an engine."""

    exchange: ClassVar[type[Exchange]]

    async def answer(self, arrival: Arrival) -> Reply:
        """Ask an engine."""
        return await gateway().answer(self.exchange, arrival)


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
