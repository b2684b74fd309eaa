"""The door to the engines: the only importer of aiohttp. It raises our errors, not aiohttp's."""

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from aiohttp.connector import AddrInfoType

from responses_api.errors import BadAnswerError, BrokenOffError, ConnectError, EngineTimeoutError
from responses_api.sse import CONTENT_TYPE

CONNECT_SECONDS = 10
# vLLM's server closes an idle connection after 5 seconds: give ours up before that, or a request meets the closing.
KEEP_ALIVE_SECONDS = 4
# An engine that has begun to stream and sends nothing for so long is taken for dead. Preempted sequences wait, too.
STALL_SECONDS = 120
MAX_ANSWER_BYTES = 64 * 2**20
# A silent peer (a node that lost power) is noticed after idle + count * interval = 90 seconds.
TCP_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An engine's whole answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class UpstreamStream:
    """An engine's answer as it comes: `first` is there, `read` waits for more. Close it, whatever happens."""

    def __init__(
        self, response: aiohttp.ClientResponse, first: bytes, *, deadline: float, stall_seconds: float
    ) -> None:
        self.first = first
        self._response = response
        self._clock = asyncio.get_running_loop().time
        self._deadline = deadline  # on the loop's clock
        self._stall_seconds = stall_seconds
        self._heard_at = self._clock()

    async def read(self, patience: float) -> bytes | None:
        """Return what has come; b"" at the end; None if nothing came for `patience` seconds, and waiting may go on.

        Raises:
            BrokenOffError: the connection ended before the answer did.
            EngineTimeoutError: the engine has fallen silent, or the whole answer takes too long.
        """
        stall_at = self._heard_at + self._stall_seconds
        until = min(self._clock() + patience, stall_at, self._deadline)
        try:
            with _our_errors():
                async with asyncio.timeout_at(until):
                    data = await self._response.content.readany()
        except TimeoutError as error:
            now = self._clock()
            if now >= self._deadline:
                raise EngineTimeoutError("The engine did not end its answer in time.") from error
            if now >= stall_at:
                raise EngineTimeoutError(f"The engine sent nothing for {self._stall_seconds:g} seconds.") from error
            return None
        self._heard_at = self._clock()
        return data

    def close(self) -> None:
        """Close the connection, and vLLM aborts; if the answer has ended, the connection is kept for others."""
        self._response.close()


@contextmanager
def _our_errors() -> Iterator[None]:
    """Raise our errors for aiohttp's. TimeoutError passes: who waits knows for what."""
    try:
        yield
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
        UnicodeError,
    ) as error:
        raise ConnectError(f"The engine cannot be reached: {_say(error)}") from error
    except aiohttp.ClientError as error:
        raise BrokenOffError(f"The engine broke the connection off: {_say(error)}") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise BrokenOffError(f"The engine broke the connection off: {_say(error)}") from error


def _too_late(timeout_seconds: float) -> EngineTimeoutError:
    return EngineTimeoutError(f"The engine did not answer within {timeout_seconds:g} seconds.")


def _socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_KEEP_ALIVE.items():
        if option := getattr(socket, name, None):  # not every system has them all
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


class Upstream:
    """Connections of one event loop to all engines. Concurrency is never limited here: vLLM queues better."""

    def __init__(self, *, max_answer_bytes: int = MAX_ANSWER_BYTES, stall_seconds: float = STALL_SECONDS) -> None:
        self.max_answer_bytes = max_answer_bytes
        self.stall_seconds = stall_seconds
        self._session: aiohttp.ClientSession | None = None

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0, limit_per_host=0, keepalive_timeout=KEEP_ALIVE_SECONDS, socket_factory=_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent",),
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            )
        return self._session

    async def post(self, url: str, body: bytes, *, api_key: str, timeout_seconds: float) -> UpstreamAnswer:
        """Return the engine's answer, whatever its status. Cancelling this closes the connection, and vLLM aborts.

        Raises:
            ConnectError: the engine was not reached.
            BrokenOffError: the connection ended before the answer did.
            EngineTimeoutError: the answer was not there in time.
            BadAnswerError: the answer is larger than the gateway reads.
        """
        try:
            with _our_errors():
                async with asyncio.timeout(timeout_seconds):
                    response = await self._post(url, body, api_key)
                    async with response:
                        return UpstreamAnswer(response.status, await self._read(response), response.headers)
        except TimeoutError as error:
            raise _too_late(timeout_seconds) from error

    async def open(
        self, url: str, body: bytes, *, api_key: str, timeout_seconds: float
    ) -> UpstreamAnswer | UpstreamStream:
        """Return the engine's stream once its first bytes are there; the whole answer if it is anything else.

        `timeout_seconds` is for the whole answer. Cancelling this closes the connection.

        Raises:
            ConnectError: the engine was not reached.
            BrokenOffError: the connection ended before the first byte.
            EngineTimeoutError: the first byte was not there in time.
            BadAnswerError: the answer is no stream, and larger than the gateway reads.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        try:
            with _our_errors():
                async with asyncio.timeout_at(deadline):
                    response = await self._post(url, body, api_key)
                    return await self._begin(response, deadline)
        except TimeoutError as error:
            raise _too_late(timeout_seconds) from error

    async def _begin(self, response: aiohttp.ClientResponse, deadline: float) -> UpstreamAnswer | UpstreamStream:
        try:
            if response.status != HTTPStatus.OK or response.content_type != CONTENT_TYPE:
                return UpstreamAnswer(response.status, await self._read(response), response.headers)
            first = await response.content.readany()
        except BaseException:
            response.close()
            raise
        if not first:
            raise BrokenOffError("The engine ended its answer before it began.")
        return UpstreamStream(response, first, deadline=deadline, stall_seconds=self.stall_seconds)

    async def _post(self, url: str, body: bytes, api_key: str) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else None
        return await self._ready().post(url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > self.max_answer_bytes:
                raise BadAnswerError(f"The engine's answer is larger than {self.max_answer_bytes} bytes.")
        return b"".join(chunks)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # transports close in the next turn of the loop


def _say(error: Exception) -> str:
    """Return what happened in the system's words, without the engine's address: callers see this."""
    if isinstance(error, (aiohttp.InvalidURL, UnicodeError)):
        return "its address cannot be used"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer was cut off or garbled"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"its answer is not HTTP ({error.message.partition(':')[0]})"
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, OSError):
        if cause.errno and cause.errno > 0:
            return os.strerror(cause.errno)
        return str(cause.strerror) if isinstance(cause, socket.gaierror) else "no connection"
    return str(cause) or type(cause).__name__
