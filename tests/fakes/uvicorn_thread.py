"""A real Uvicorn in a thread, on a port that is known before it starts."""

import asyncio
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

START_SECONDS = 60


def bound(port: int) -> socket.socket:
    """Return a socket on a port, 0 for any. As long as one is bound, listening or not, the system gives the port to
    nobody who asks for any: what is killed finds its place free when it returns.
    """
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


class UvicornThread:
    """Serves an ASGI application from a thread of its own. `kill` ends it as a crash would, `stop` politely.

    Applications find the connection's transport in `scope["state"]["transport"]`: its `abort()` breaks it off.
    """

    def __init__(self, app: Any, *, port: int = 0, lifespan: str = "off", ws: str = "none") -> None:
        self.app = app
        self.port = port
        self.lifespan = lifespan
        self.ws = ws
        self._place: socket.socket | None = None
        self._transports: set[Any] = set()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def start(self) -> Self:
        """Listen and serve; return when requests are answered. After `stop` or `kill`, the port is the same again."""
        if self._place is None:
            self._place = bound(self.port)
            self.port = self._place.getsockname()[1]
        listener = bound(self.port)
        transports = self._transports

        class Protocol(HttpToolsProtocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                self.app_state = {**self.app_state, "transport": transport}
                transports.add(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.discard(self.transport)
                super().connection_lost(exc)

        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            http=Protocol,
            ws=self.ws,
            lifespan=self.lifespan,  # type: ignore[arg-type]  # a literal type that uvicorn does not export
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=60,  # nobody who pauses for five seconds meets the closing
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, args=(self._server, listener), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("Uvicorn did not start.")
            time.sleep(0.002)
        return self

    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        with listener, asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            self._loop = runner.get_loop()
            runner.run(server.serve(sockets=[listener]))

    def begin_stop(self) -> None:
        """Ask it to end, without waiting: several servers end faster side by side."""
        if self._server:
            self._server.should_exit = True

    def stop(self) -> None:
        """Finish what runs (two seconds at most), then end. Safe to repeat."""
        server, thread = self._server, self._thread
        if server and thread:
            server.should_exit = True
            thread.join(timeout=START_SECONDS)
            if thread.is_alive():
                raise RuntimeError("Uvicorn did not stop.")
        self._server = self._thread = None

    def kill(self) -> None:
        """Stop listening and drop every connection in the middle of whatever it carries. Safe to repeat."""
        server, loop, thread = self._server, self._loop, self._thread
        if server and loop and thread:
            dropped = threading.Event()

            def crash() -> None:
                for listening in server.servers:
                    listening.close()
                for transport in [*self._transports]:
                    transport.abort()
                dropped.set()

            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(crash)
                while thread.is_alive() and not dropped.wait(timeout=0.01):
                    pass
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._place is not None:
            self._place.close()
            self._place = None
