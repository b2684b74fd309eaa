"""Connections to engines, kept open between requests."""

import asyncio
import socket
import ssl
from collections import defaultdict
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import aiohappyeyeballs

from responses_api.errors import ConnectError
from responses_api.http1 import Connection, say

# vLLM's server closes an idle connection after 5 seconds: give ours up before that, or a request meets the closing.
KEEP_ALIVE_SECONDS = 4.0
SWEEP_SECONDS = 1.0
# A silent peer (a node that lost power) is noticed after idle + count * interval = 90 seconds.
TCP_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
# How long a host's next address waits for the one before (RFC 8305), and how long its addresses are remembered.
NEXT_ADDRESS_SECONDS = 0.25
ADDRESSES_SECONDS = 10.0

_PORTS = {"http": 80, "https": 443}
_ALWAYS = (("Content-Type", "application/json"), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
_PATH = "/%:@!$&'()*+,;=~-._"  # what a path may hold as it is (RFC 3986)


class Origin(NamedTuple):
    """Where connections lead."""

    host: str
    port: int
    secure: bool


class Target(NamedTuple):
    """Where a request goes, and how it begins there, but for its length."""

    origin: Origin
    head: bytes


@lru_cache(maxsize=1024)
def target(method: str, url: str, api_key: str, headers: tuple[tuple[str, str], ...]) -> Target:
    """Return where a request goes: those of one profile to one endpoint all go to the same place.

    Raises:
        ConnectError: if it cannot go there, or not with these headers: one with a line break in it would be two.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        named = (f"[{host}]" if ":" in host else host) + ("" if parts.port is None else f":{port}")
        lines = [f"{method} {quote(parts.path, safe=_PATH) or '/'} HTTP/1.1", f"Host: {named}"]
        bearer = (("Authorization", f"Bearer {api_key}"),) if api_key else ()
        # By small-letter name: what comes later counts.
        lines += {name.lower(): f"{name}: {value}" for name, value in (*_ALWAYS, *headers, *bearer)}.values()
    except (ValueError, KeyError) as error:
        raise _unreachable(error) from None
    if not host or not all(line.isprintable() for line in lines):
        raise _unreachable(ValueError(url))
    return Target(Origin(host, port, parts.scheme == "https"), "\r\n".join(lines).encode())


def _unreachable(error: Exception) -> ConnectError:
    return ConnectError(f"The engine cannot be reached: {say(error)}")


class Pool:
    """The connections of one event loop. Their number has no limit: vLLM queues better."""

    def __init__(self) -> None:
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)  # the latest last
        self._origins: dict[Connection, Origin] = {}  # of all that are open
        self._sweep: asyncio.TimerHandle | None = None
        self._addresses: dict[Origin, tuple[float, asyncio.Future[Any]]] = {}

    def idle(self, origin: Origin, now: float) -> Connection | None:
        """Return a connection that can be used at once; None if there is none."""
        connections = self._idle.get(origin)
        while connections:
            connection = connections.pop()
            if connection.is_open and now - connection.idle_since < KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    def count_idle(self) -> int:
        """Return how many connections can be used at once."""
        return sum(connection.is_open for connections in self._idle.values() for connection in connections)

    async def connect(self, origin: Origin, seconds: float) -> Connection:
        """Return a new connection.

        Raises:
            ConnectError: if there is none after so many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(origin)
        except (OSError, UnicodeError) as error:
            raise _unreachable(error) from error

    async def _connect(self, origin: Origin) -> Connection:
        addresses = await self._resolved(origin)
        made = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, socket_factory=_socket
        )
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self),
                sock=made,
                ssl=_tls() if origin.secure else None,
                server_hostname=origin.host if origin.secure else None,
            )
        except BaseException:
            made.close()
            raise
        if connection.is_open:
            self._origins[connection] = origin
        return connection

    async def _resolved(self, origin: Origin) -> Any:
        """Return the host's addresses. However many want to know, the system is asked once."""
        loop = asyncio.get_running_loop()
        until, asking = self._addresses.get(origin, (0.0, None))
        if asking is None or (asking.done() and (until < loop.time() or asking.cancelled() or asking.exception())):
            asking = asyncio.ensure_future(loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM))
            self._addresses[origin] = loop.time() + ADDRESSES_SECONDS, asking
        return await asyncio.shield(asking)

    def free(self, connection: Connection) -> None:
        """Take a connection that may be used again."""
        if (origin := self._origins.get(connection)) is None:  # it was closed with all others
            connection.abort()
            return
        self._idle[origin].append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_up)

    def lost(self, connection: Connection) -> None:
        """Forget a connection. It may lie among the idle ones until those are swept."""
        self._origins.pop(connection, None)

    def _sweep_up(self) -> None:
        """Close what would be too old at the next time."""
        loop = asyncio.get_running_loop()
        too_old = loop.time() - (KEEP_ALIVE_SECONDS - SWEEP_SECONDS)
        for origin, connections in [*self._idle.items()]:
            young = [each for each in connections if each.is_open and each.idle_since > too_old]
            for connection in set(connections).difference(young):
                connection.abort()
            if young:
                self._idle[origin] = young
            else:
                del self._idle[origin]
        self._sweep = loop.call_later(SWEEP_SECONDS, self._sweep_up) if self._idle else None

    def close(self) -> None:
        """Close every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        for connection in [*self._origins]:
            connection.abort()
        self._origins.clear()


def _socket(address: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_KEEP_ALIVE.items():
        if option := getattr(socket, name, None):  # not every system has them all
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
