"""A TCP proxy that can be cut, closed, or go deaf: a network between two real programs."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.fakes.uvicorn_thread import bound


class TcpProxy:
    """Passes every connection on to one address, from a thread of its own. Its port stays the same."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._deaf = False
        self._place: socket.socket | None = None
        self.port = 0

    def open(self) -> None:
        """Listen."""
        self._do(self._listen())

    def close(self) -> None:
        """Listen no longer, and cut every connection: whoever connects now is refused."""
        self._do(self._shut())

    def deafen(self) -> None:
        """Let nothing come back over the connections that there are: what is asked is done, and nobody hears of it."""
        self._deaf = True

    def cut(self) -> None:
        """Cut every connection; new ones are as good as before."""
        self._do(self._cut())

    async def _listen(self) -> None:
        if self._place is None:
            self._place = bound(0)
            self.port = self._place.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        self._deaf = False
        for writer in [*self._writers]:
            writer.transport.abort()

    async def _finish(self) -> None:
        """Return when nothing is passed on any more."""
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        with suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection(*self._target)
            self._writers |= {writer, to_writer}
            try:
                await asyncio.gather(self._pass_on(reader, to_writer), self._pass_on(to_reader, writer, hears=True))
            finally:
                self._writers -= {writer, to_writer}
                to_writer.close()
        writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, hears: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not (hears and self._deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._do(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        if self._place is not None:
            self._place.close()
