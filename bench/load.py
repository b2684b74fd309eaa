"""A light load: raw asyncio connections that are kept open, each with one request in flight."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_STREAM_BYTES = 2**24
# Session ids are this far apart, so that those in use are no neighbours in a database that holds many.
STRIDE = 3907


@dataclass(frozen=True)
class Target:
    """Where requests go: the address below which the API's paths are, and the key."""

    base_url: str
    key: str = ""


@dataclass(frozen=True)
class Load:
    """What is sent, and how often. `sessions` is the number of session ids that the requests are spread over.

    `ramp_seconds`: connections begin evenly over that time, so that slow answers do not come all at once.
    """

    path: str
    body: bytes
    in_flight: int
    requests: int
    sessions: int = 256
    first: int = 0  # the number of the first request, which says what session it is of
    ramp_seconds: float = 0.0


class Connections:
    """Opens connections to a target and speaks HTTP/1.1 on them."""

    def __init__(self, target: Target, load: Load) -> None:
        url = urlsplit(target.base_url.rstrip("/") + load.path)
        self._host = url.hostname or "127.0.0.1"
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._port = url.port or (443 if self._tls else 80)
        self._path = url.path
        self._load = load
        key = f"authorization: Bearer {target.key}\r\n" if target.key else ""
        self._head = f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\n{key}content-type: application/json\r\n"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection."""
        return await asyncio.open_connection(self._host, self._port, limit=MAX_STREAM_BYTES, ssl=self._tls)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        """Send one request and wait for all of its answer.

        Raises:
            RuntimeError: if it is not answered with 200.
        """
        writer.write(self._request(number))
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = await reader.readuntil(b"0\r\n\r\n")
            while not (body.endswith(b"\r\n0\r\n\r\n") or body == b"0\r\n\r\n"):
                body = await reader.readuntil(b"0\r\n\r\n")
        else:
            at = lower.index(b"content-length:")
            body = await reader.readexactly(int(lower[at + 15 : lower.index(b"\r\n", at)]))
        status = head.split(b" ", 2)[1]
        if status != b"200":
            raise RuntimeError(f"{self._path} answered {status.decode()}: {body[:500].decode(errors='replace')}")

    def _request(self, number: int) -> bytes:
        load = self._load
        head = (
            f"{self._head}x-session-id: bench-{number % load.sessions * STRIDE}\r\n"
            f"content-length: {len(load.body)}\r\n\r\n"
        )
        return head.encode() + load.body


async def drive(target: Target, load: Load) -> list[float]:
    """Return how long each request took, in seconds.

    Raises:
        RuntimeError: if one was answered with anything but 200.
    """
    took: list[float] = []
    numbers = iter(range(load.first, load.first + load.requests))
    connections = Connections(target, load)

    async def one_connection(place: int) -> None:
        await asyncio.sleep(load.ramp_seconds * place / load.in_flight)
        reader, writer = await connections.open()
        try:
            for number in numbers:
                begun = time.perf_counter()
                await connections.ask(reader, writer, number)
                took.append(time.perf_counter() - begun)
        finally:
            writer.close()

    await asyncio.gather(*(one_connection(place) for place in range(load.in_flight)))
    return took
