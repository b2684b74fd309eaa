"""HTTP/1.1 as engines and the proxies before them may speak it, byte by byte on real sockets."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from responses_api import connections, http1
from responses_api.connections import Pool, target
from responses_api.errors import BrokenOffError, ConnectError, EngineTimeoutError, GatewayError
from responses_api.upstream import Upstream, UpstreamStream
from tests.certificates import self_signed

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
WHOLE = JSON + b"content-length: 4\r\n\r\nbody"
CHUNKED = JSON + b"transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2;part=2\r\ndy\r\n0\r\nx-trailer: 1\r\n\r\n"


@dataclass
class Peer:
    """A server that sends these bytes for each request, whatever it was; how many connections it had."""

    says: bytes
    hangs_up: bool = False  # after that
    byte_by_byte: bool = False
    connections: int = 0
    heard: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while heard := await reader.read(2**16):
            self.heard.append(heard)
            for piece in [self.says[i : i + 1] for i in range(len(self.says))] if self.byte_by_byte else [self.says]:
                writer.write(piece)
                await asyncio.sleep(0)
            if self.hangs_up:
                break
        writer.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve until the block ends; clients may leave as they like."""
    running: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running[asyncio.current_task()] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x"
        for writer in running.values():
            writer.transport.abort()
        if running:  # who gave up early may never have been let in
            await asyncio.wait([task for task in running if task])


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    door = Upstream()
    yield door
    await door.close()


async def ask(upstream: Upstream, url: str, body: bytes = b"{}", seconds: float = 10) -> tuple[int, bytes]:
    answer = await upstream.post(url, body, api_key="", timeout_seconds=seconds)
    return answer.status, answer.body


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(
    ("says", "hangs_up", "expected", "made"),
    [
        (WHOLE, False, (200, b"body"), 1),
        (CHUNKED, False, (200, b"body"), 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, (204, b""), 1),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", False, (500, b""), 1),
        # What is announced is not the answer.
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + WHOLE,
            False,
            (200, b"body"),
            1,
        ),
        # A connection is not used again if the server closes it, does so soon, says more than an answer or speaks 1.0.
        (WHOLE, True, (200, b"body"), 2),
        (WHOLE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), False, (200, b"body"), 2),
        (WHOLE + b"more", False, (200, b"body"), 2),
        (WHOLE.replace(b"1.1", b"1.0"), False, (200, b"body"), 2),
        # An answer without a length ends with its connection.
        (JSON + b"\r\nbody", True, (200, b"body"), 2),
        # These are no answers.
        (b"", True, "there was no answer", 2),
        (WHOLE[:-1], True, "cut off", 2),
        (CHUNKED[:-5], True, "cut off", 2),
        (JSON + b"transfer-encoding: chunked\r\n\r\nnonsense", False, "garbled", 2),
        (JSON + b"content-length: x\r\n\r\nbody", False, "not HTTP", 2),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", True, "not HTTP", 2),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "not HTTP", 2),
    ],
)
async def test_answers_however_they_are_written(
    upstream: Upstream, says: bytes, hangs_up: bool, expected: tuple[int, bytes] | str, made: int, byte_by_byte: bool
) -> None:
    peer = Peer(says, hangs_up, byte_by_byte)
    async with served(peer.serve) as url:
        for _ in range(2):
            if isinstance(expected, str):
                with pytest.raises(BrokenOffError, match=expected):
                    await ask(upstream, url)
            else:
                assert await ask(upstream, url) == expected
            if made == 2:  # what makes the connection useless may come a moment after the answer
                await until(lambda: not upstream.pool.count_idle())
    assert peer.connections == made


async def test_a_head_has_a_largest_size(upstream: Upstream) -> None:
    async with served(Peer(JSON + b"x: " + b"y" * http1.MAX_HEAD_BYTES).serve) as url:
        with pytest.raises(BrokenOffError, match="too long"):
            await ask(upstream, url)


async def test_a_refusal_is_heard_before_a_long_body_was_read(upstream: Upstream) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read()
        writer.close()

    async with served(refuse) as url:
        assert await ask(upstream, url, b"x" * 2**24) == (413, b"no")
        assert not upstream.pool.count_idle()  # the rest of the body would be taken for a request


async def test_a_long_body_arrives_whole(upstream: Upstream) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(JSON + b"connection: close\r\n\r\n%d" % len(body))
        writer.close()

    async with served(count) as url:
        assert await ask(upstream, url, b"x" * 2**22) == (200, b"%d" % 2**22)


async def test_an_engine_waits_for_a_reader_who_is_slow(upstream: Upstream) -> None:
    sent = 0
    stop = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not stop.is_set():
            writer.write(b"x" * 2**16)
            await writer.drain()
            sent += 2**16
        writer.close()

    async with served(flood) as url:
        stream = await upstream.open(url, b"{}", api_key="", timeout_seconds=60)
        assert isinstance(stream, UpstreamStream)
        before = -1
        while sent != before:  # until it stands still
            before = sent
            await asyncio.sleep(0.1)
        stop.set()
        got = len(stream.first)
        while data := await stream.read(10):
            got += len(data)
        assert got >= sent > http1.HIGH_WATER_BYTES


async def test_connections_are_given_up_before_the_engine_does(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "KEEP_ALIVE_SECONDS", 0.1)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.05)
    peer = Peer(WHOLE)
    async with served(peer.serve) as url:
        await ask(upstream, url)
        await until(lambda: not upstream.pool.count_idle() and upstream.pool._sweep is None)
        await ask(upstream, url)
    assert peer.connections == 2


async def test_a_timeout_is_the_connections_or_the_answers(upstream: Upstream) -> None:
    peer = Peer(b"")
    async with served(peer.serve) as url:
        with pytest.raises(EngineTimeoutError):
            await ask(upstream, url, seconds=0.05)
    blackhole = "http://192.0.2.1/v1"  # RFC 5737: nobody answers; where nothing leads there, that is known at once
    with pytest.raises(ConnectError):
        await upstream.post(blackhole, b"{}", api_key="", timeout_seconds=10, connect_seconds=0.05)
    with pytest.raises((EngineTimeoutError, ConnectError)):
        await upstream.post(blackhole, b"{}", api_key="", timeout_seconds=0.05)


async def test_what_is_asked_is_written_as_it_should_be(upstream: Upstream) -> None:
    peer = Peer(WHOLE)
    async with served(peer.serve) as url:
        headers = {"accept": "text/plain", "X-Team": "rl"}
        await upstream.post(f"{url} y", b"{}", api_key="key", headers=headers, timeout_seconds=10)
    assert peer.heard == [
        b"POST /v1/x%%20y HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\naccept: text/plain\r\n"
        b"Accept-Encoding: identity\r\nX-Team: rl\r\nAuthorization: Bearer key\r\nContent-Length: 2\r\n\r\n{}"
        % url.split("/")[2].encode()
    ]


def test_a_header_cannot_become_two() -> None:
    with pytest.raises(ConnectError):
        target("POST", "http://127.0.0.1/v1", "", (("X-Team", "a\r\nX-Other: b"),))


async def test_an_engine_behind_tls_needs_a_certificate_that_is_trusted(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with served(Peer(WHOLE).serve, context) as url:
        with pytest.raises(ConnectError, match="certificate is not trusted"):
            await ask(upstream, url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        connections._tls.cache_clear()
        assert await ask(upstream, url) == (200, b"body")
    connections._tls.cache_clear()


async def test_a_pool_that_is_closed_keeps_nothing(upstream: Upstream) -> None:
    peer = Peer(b"")
    async with served(peer.serve) as url:
        asking = asyncio.create_task(ask(upstream, url))
        await until(lambda: peer.heard)
        await upstream.close()
        with pytest.raises(GatewayError):
            await asking
    assert isinstance(upstream.pool, Pool)
    assert not upstream.pool._origins


async def some_of_it() -> None:
    upstream = Upstream()
    for says, hangs_up, expected in ((WHOLE, False, b"body"), (CHUNKED, True, b"body"), (WHOLE[:-1], True, None)):
        peer = Peer(says, hangs_up)
        async with served(peer.serve) as url:
            for _ in range(2):
                if expected is None:
                    with pytest.raises(BrokenOffError, match="cut off"):
                        await ask(upstream, url)
                else:
                    assert await ask(upstream, url) == (200, expected)
                if hangs_up:
                    await until(lambda: not upstream.pool.count_idle())
        assert peer.connections == 1 + hangs_up
    await test_an_engine_waits_for_a_reader_who_is_slow(upstream)
    await test_a_pool_that_is_closed_keeps_nothing(upstream)


def test_uvicorns_loop_is_as_good_as_the_tests() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(some_of_it())


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
