"""A limit for Django: each of its requests takes a thread and a database connection, and the database has few."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

MAX_AT_ONCE = 12


class Crowd:
    """An ASGI application that serves so many requests at once on each event loop; the others wait for their turn."""

    def __init__(self, app: Any, *, at_once: int = MAX_AT_ONCE) -> None:
        self._app = app
        self._at_once = at_once
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request. One that streams gives its place away when its body begins: it may go on for hours."""
        places = self._places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._at_once))
        holds = True

        async def passing(message: Any) -> None:
            nonlocal holds
            if holds and message["type"] == "http.response.body" and message.get("more_body"):
                holds = False
                places.release()
            await send(message)

        await places.acquire()
        try:
            await self._app(scope, receive, passing)
        finally:
            if holds:
                places.release()
