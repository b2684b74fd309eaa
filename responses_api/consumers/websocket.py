"""The WebSocket of /v1/responses: one connection, many turns, one after another."""

import asyncio
import contextlib
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from responses_api import wire
from responses_api.affinity import HEADER as SESSION_HEADER
from responses_api.consumers.base import MAX_BODY_BYTES, gateway, headers_of, refused
from responses_api.convert.turn import Memory, TurnExchange
from responses_api.errors import ConnectionLimitError
from responses_api.trace import Arrival, Reply, new_id

OK = 200
# What a client may send ahead: so many messages, and no more of them together than a body may have.
MAX_WAITING = 64
MAX_WAITING_BYTES = MAX_BODY_BYTES
# How long a refused client may take to go.
DENIED_SECONDS = 1
# Close codes of RFC 6455.
NORMAL, POLICY_VIOLATION, TOO_BIG = 1000, 1008, 1009
# OpenAI's clients send `"stream": true` in every message, which the contract forbids: Codex, which names the draft that
# it speaks, and the Agents SDK, which is known by its library's header alone.
OPENAIS_DRAFT = "responses_websockets="
OPENAIS_LIBRARY = "x-stainless-lang"


class ResponsesSocket(AsyncWebsocketConsumer):
    """One connection.

    The key comes with the upgrade, in a header that no page in a browser can send: an upgrade from another site has
    none, and so its origin needs no look.

    The messages are read beside the work, as `StreamingHttpConsumer` does it: the work ends when the client leaves.
    """

    close_code: int | None = None  # why the work is cancelled; None if nobody is there to be told

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the connection until either side ends it."""
        self.scope, self.base_send = scope, send
        await receive()  # only websocket.connect comes first
        self.headers = headers_of(scope)
        if (refusal := await gateway().admit(self.arrival(b""))) is not None:
            await self.deny(refusal, receive)
            return
        await self.accept()
        self.memory = Memory()
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self.waiting_bytes = 0
        self.left = False
        work = asyncio.current_task()
        listener = asyncio.create_task(self._listen(receive, work))
        try:
            await self._serve()
        except asyncio.CancelledError:
            if not self.left:
                raise  # the server stops
            if work is not None:
                work.uncancel()
            if self.close_code is not None:
                await self.close(self.close_code)
        finally:
            listener.cancel()

    def arrival(self, body: bytes) -> Arrival:
        """Return a turn as the gateway takes it: the headers of the upgrade hold for all."""
        return Arrival(self.headers, body, new_id("req"))

    async def deny(self, refusal: Reply, receive: Any) -> None:
        """Refuse the upgrade with the reply, where the server can send one; the others answer 403."""
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            await self.close()
            return
        headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers]
        headers.append((b"content-type", refusal.content_type.encode()))
        await self.base_send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await self.base_send({"type": "websocket.http.response.body", "body": refusal.body})
        # Uvicorn takes whoever returns before the connection is down for one who gave no answer, and logs an error. It
        # says that it ends twice: when it has the answer, and when it is down.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DENIED_SECONDS):
                await receive()
                await receive()

    async def _listen(self, receive: Any, work: "asyncio.Task[Any] | None") -> None:
        """Queue what comes until the client leaves, or sends what no well-meaning client does."""
        while self.close_code is None:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                break
            frame = (message.get("text") or "").encode() or message.get("bytes") or b""
            if len(frame) > MAX_BODY_BYTES:
                self.close_code = TOO_BIG
            elif self.waiting.qsize() >= MAX_WAITING or self.waiting_bytes + len(frame) > MAX_WAITING_BYTES:
                self.close_code = POLICY_VIOLATION
            else:
                self.waiting_bytes += len(frame)
                self.waiting.put_nowait(frame)
        self.left = True
        if work is not None:
            work.cancel()

    async def _serve(self) -> None:
        """Take turns until the connection's time is over."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + settings.WEBSOCKET_SECONDS
        while clock() < ends_at:
            try:
                async with asyncio.timeout_at(ends_at):
                    frame = await self.waiting.get()
            except TimeoutError:
                break
            self.waiting_bytes -= len(frame)
            await Turn(self, frame).take()
        await self.say(_envelope(refused(ConnectionLimitError(settings.WEBSOCKET_SECONDS))))
        await self.close(NORMAL)

    async def say(self, line: bytes) -> None:
        """Send one message. Raises CancelledError if the client has left."""
        try:
            await self.send(text_data=line.decode())
        except OSError:  # the server knew it first
            self.left = True
            raise asyncio.CancelledError from None


class Turn:
    """A message, and the outlet of its answer."""

    def __init__(self, socket: ResponsesSocket, frame: bytes) -> None:
        self._socket = socket
        self._frame = frame
        self._exchange: TurnExchange | None = None

    async def take(self) -> None:
        """Answer the message: with events, or with the one envelope of an error."""
        reply = await gateway().answer(self._read, self._socket.arrival(self._frame), self)
        if reply is None:
            return
        await self.start(reply.headers)
        if reply.status == OK:
            await self.end(reply.body)
        else:
            await self._socket.say(_envelope(reply))

    def _read(self, body: bytes) -> TurnExchange:
        socket = self._socket
        headers = socket.headers
        is_openais = OPENAIS_DRAFT in headers.get("openai-beta", "") or OPENAIS_LIBRARY in headers
        self._exchange = TurnExchange(body, socket.memory, may_say_stream=is_openais)
        return self._exchange

    async def start(self, headers: list[tuple[str, str]]) -> None:
        """Stay in the session of the first turn. There are no headers to send."""
        for name, value in headers:
            if name.lower() == SESSION_HEADER:
                self._socket.headers[SESSION_HEADER] = value

    async def write(self, data: bytes) -> None:
        """Send events, each as a message."""
        for line in data.splitlines():
            await self._socket.say(line)

    async def end(self, data: bytes) -> None:
        """Send the last events. Whatever the last one ends can be continued as soon as the client has it."""
        last = wire.json_object(data.splitlines()[-1])
        if self._exchange is not None and last["type"] != "response.failed":
            self._socket.memory.keep(self._exchange.ended(last["response"]))
        await self.write(data)


def _envelope(reply: Reply) -> bytes:
    """Return an error as WebSockets carry it."""
    return wire.encode({"type": "error", "status": reply.status, **wire.json_object(reply.body)})
