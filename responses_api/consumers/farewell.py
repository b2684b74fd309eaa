"""The signal that ends a server, kept back until the gateway has said good-bye."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Farewell:
    """Keeps a signal that ends a server back while requests run.

    A server that is told to end stops listening at once, and its clients find nobody. So the gateway hears it first: it
    refuses what is new, which sends balancers and clients elsewhere, lets what runs have its time, and then lets the
    server know. A second signal goes straight to the server.
    """

    def __init__(
        self, number: signal.Signals, loop: asyncio.AbstractEventLoop, end: Callable[[], Awaitable[None]]
    ) -> None:
        self._number = number
        self._loop = loop
        self._end = end
        self._server: Any = signal.SIG_DFL
        self._ending: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Take the signal in the server's place."""
        self._server = signal.getsignal(self._number)
        if callable(self._server):
            signal.signal(self._number, self._heard)

    def _heard(self, _number: int, _frame: Any) -> None:
        if self._ending is not None:
            self._tell_server()
        else:
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._say_it())

    async def _say_it(self) -> None:
        await self._end()
        self._tell_server()

    def _tell_server(self) -> None:
        server: Any = getattr(self._server, "__self__", None)
        if hasattr(server, "should_exit") and not server.should_exit:
            # Uvicorn's handler would remember the signal and raise it at the end: the exit status would not be 0.
            server.should_exit = True
        else:
            self._server(self._number, None)


def listen(end: Callable[[], Awaitable[None]]) -> None:
    """Await `end` before the running loop's server hears that it is to end. Only a main thread hears signals, and only
    a server that minds them is told.
    """
    if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGTERM)):
        return
    for number in SIGNALS:
        Farewell(number, asyncio.get_running_loop(), end).listen()
