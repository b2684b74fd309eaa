"""The door to the engines: the only importer of aiohttp. It raises our errors, not aiohttp's."""

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.connector import AddrInfoType

from responses_api.errors import BadAnswerError, BrokenOffError, ConnectError, EngineTimeoutError

CONNECT_SECONDS = 10
# vLLM's server closes an idle connection after 5 seconds: give ours up before that, or a request meets the closing.
KEEP_ALIVE_SECONDS = 4
MAX_ANSWER_BYTES = 64 * 2**20
# A silent peer (a node that lost power) is noticed after idle + count * interval = 90 seconds.
TCP_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An engine's whole answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


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

    def __init__(self, *, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        self.max_answer_bytes = max_answer_bytes
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
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else None
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with self._ready().post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return UpstreamAnswer(response.status, await self._read(response), response.headers)
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
            UnicodeError,
        ) as error:
            raise ConnectError(f"The engine cannot be reached: {_say(error)}") from error
        except TimeoutError as error:
            raise EngineTimeoutError(f"The engine did not answer within {timeout_seconds:g} seconds.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenOffError(f"The engine broke the connection off: {_say(error)}") from error

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
