"""A light load: raw asyncio connections that are kept open, each with one request in flight."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What to send, and how often. `sessions` is the number of session ids that the requests are spread over."""

    host: str
    port: int
    path: str
    key: str
    body: bytes
    sessions: int = 256


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Send one request; return the status of its whole answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.index(b"content-length:")
    length = int(lower[at + 15 : lower.index(b"\r\n", at)])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


def _request(load: Load, number: int) -> bytes:
    head = (
        f"POST {load.path} HTTP/1.1\r\nhost: {load.host}\r\nauthorization: Bearer {load.key}\r\n"
        f"content-type: application/json\r\nx-session-id: bench-{number % load.sessions}\r\n"
        f"content-length: {len(load.body)}\r\n\r\n"
    )
    return head.encode() + load.body


async def drive(load: Load, *, in_flight: int, requests: int) -> list[float]:
    """Return how long each request took, in seconds.

    Raises:
        RuntimeError: if one was answered with anything but 200.
    """
    took: list[float] = []
    numbers = iter(range(requests))

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(load.host, load.port)
        try:
            for number in numbers:
                begun = time.perf_counter()
                status = await _exchange(reader, writer, _request(load, number))
                took.append(time.perf_counter() - begun)
                if status != 200:  # noqa: PLR2004
                    raise RuntimeError(f"{load.path} answered {status}")
        finally:
            writer.close()

    await asyncio.gather(*(one_connection() for _ in range(in_flight)))
    return took
