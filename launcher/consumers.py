"""The WebSocket on which the admin's page follows an engine's log.

The server says, one JSON object a message:

    {"type": "state", "attempt": 3, "state": "starting", "said": "…", "ended": false, "progress": 50.0 or null}
    {"type": "lines", "attempt": 3, "text": "…", "anew": false, "cursor": "…"}    a cursor opens the log there again

and the page, in any order: `{"seen": 1234}`, how many characters of text it has shown so far; `{"pause": true}`;
`{"search": "…"}`, which begins anew with the lines that hold it.

What the page has not shown yet is bounded: the log stays on the disk until it has. Rows and files are read by a few
threads, which is the launcher's only crossing from the event loop to the ORM.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar
from urllib.parse import parse_qs

from django.db import DatabaseError, close_old_connections

from launcher import logs, ray_cluster, viewers
from launcher.tail import Look, Standing, Tail

T = TypeVar("T")

THREADS = 4
MAX_TAILS = 100  # of one process
LOOK_SECONDS = 1.0
ASK_AGAIN_SECONDS = 10.0  # whether the person may still watch
MAX_UNSEEN = 600_000  # characters that were sent and are not shown yet
MAX_WORD = 200
# Close codes: of RFC 6455, and of our own.
TRY_LATER, NOT_ALLOWED, GONE = 1013, 4403, 4404

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="log-tail")
_open: set["LogSocket"] = set()


async def log_socket(scope: Any, receive: Any, send: Any) -> None:
    """Serve one page."""
    await receive()  # only websocket.connect comes first
    headers = viewers.headers_of(scope)
    if not viewers.is_our_page(headers):
        await send({"type": "websocket.close"})  # before it is open: servers answer 403
        return
    await send({"type": "websocket.accept"})
    if len(_open) >= MAX_TAILS:
        await send({"type": "websocket.close", "code": TRY_LATER, "reason": "Too many logs are watched."})
        return
    socket = LogSocket(headers, scope, send)
    _open.add(socket)
    try:
        await socket.serve(receive)
    finally:
        _open.discard(socket)


class LogSocket:
    """One page that watches."""

    def __init__(self, headers: dict[str, str], scope: Any, send: Any) -> None:
        asked = {name: words[0] for name, words in parse_qs(scope["query_string"].decode()).items()}
        self._headers = headers
        self._send = send
        self._engine_id = int(scope["url_route"]["kwargs"]["engine_id"])
        only = asked.get("attempt", "")
        self._only = int(only) if only.isdecimal() and len(only) <= logs.MAX_DIGITS else 0
        self._tail = self._begin(cursor=asked.get("cursor", ""), search=asked.get("search", ""))
        self._told: Standing | None = None
        self._sent = self._seen = 0
        self._paused = False
        self._heard = asyncio.Event()  # something that changes what is to be done

    async def serve(self, receive: Any) -> None:
        """Send what is new until the page leaves."""
        work = asyncio.create_task(self._watch())
        try:
            while (message := await self._next(receive, work)) is not None:
                self._listen(message)
        finally:
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled() and (error := work.exception()) is not None and not isinstance(error, OSError):
            raise error

    @staticmethod
    async def _next(receive: Any, work: "asyncio.Task[None]") -> Any:
        """Return the next message; None when either side has ended it."""
        hearing = asyncio.ensure_future(receive())
        await asyncio.wait({hearing, work}, return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done():
            hearing.cancel()
            return None
        message = hearing.result()
        return None if message["type"] == "websocket.disconnect" else message

    def _listen(self, message: Any) -> None:
        """Take what the page says. What makes no sense changes nothing."""
        try:
            said = json.loads(message.get("text") or "")
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        if isinstance(said.get("seen"), int):
            self._seen = said["seen"]
        if isinstance(said.get("pause"), bool):
            self._paused = said["pause"]
        if isinstance(said.get("search"), str):
            self._tail, self._sent, self._seen = self._begin(search=said["search"]), 0, 0
        self._heard.set()

    def _begin(self, *, search: str, cursor: str = "") -> Tail:
        return Tail(
            ray_cluster.from_settings(),
            self._engine_id,
            attempt=self._only,
            cursor=cursor,
            search=search[:MAX_WORD],
        )

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        ask_at = clock()
        while True:
            self._heard.clear()
            try:
                if clock() >= ask_at:
                    if not await _in_thread(lambda: viewers.may_watch(self._headers)):
                        await self._close(NOT_ALLOWED, "Sign in, with the permission to view engines.")
                        return
                    ask_at = clock() + ASK_AGAIN_SECONDS
                again = not self._paused and self._sent - self._seen < MAX_UNSEEN and await self._look()
            except DatabaseError:
                again = False  # it is busy, or away: it is asked again
            if again is None:
                await self._close(GONE, "The engine was deleted.")
                return
            if not again:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._heard.wait(), LOOK_SECONDS)

    async def _look(self) -> bool | None:
        """Send what is new. Return whether there may be more at once; None if the engine is gone."""
        tail = self._tail
        look: Look | None = await _in_thread(tail.look)
        if look is None or tail is not self._tail:  # another word is searched for by now
            return None if look is None else True
        if look.standing != self._told:
            self._told = look.standing
            await self._say({"type": "state", **asdict(look.standing)})
        if not look.text and not look.anew:
            return look.more
        self._sent += len(look.text)
        attempt = look.standing.attempt
        await self._say(
            {"type": "lines", "attempt": attempt, "text": look.text, "anew": look.anew, "cursor": look.cursor}
        )
        return look.more

    async def _say(self, message: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(message)})

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


async def _in_thread(call: Callable[[], T]) -> T:
    """Return what the call returns, which may ask the database."""

    def asked() -> T:
        try:
            return call()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads, asked)
