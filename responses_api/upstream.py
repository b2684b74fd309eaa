"""The door to the engines: what is asked of them, and for how long. It raises our errors alone."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

from responses_api.connections import Origin, Pool, target
from responses_api.errors import BadAnswerError, BrokenOffError, ConnectError, EngineTimeoutError, SilentError
from responses_api.http1 import Connection, Response
from responses_api.sse import CONTENT_TYPE

CONNECT_SECONDS = 10
# An engine that has begun to stream and sends nothing for so long is taken for dead. Preempted sequences wait, too.
STALL_SECONDS = 120
MAX_ANSWER_BYTES = 64 * 2**20

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class UpstreamAnswer(NamedTuple):
    """An engine's whole answer; the names of the headers are in small letters."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class UpstreamStream:
    """An engine's answer as it comes: `first` is there, `read` waits for more. Close it, whatever happens."""

    def __init__(self, response: Response, first: bytes, *, deadline: float, stall_seconds: float) -> None:
        self.first = first
        self._response = response
        self._clock = asyncio.get_running_loop().time
        self._deadline = deadline  # on the loop's clock
        self._stall_seconds = stall_seconds
        self._heard_at = self._clock()
        self.stalled = False

    async def read(self, patience: float) -> bytes | None:
        """Return what has come; b"" at the end; None if nothing came for `patience` seconds, and waiting may go on.

        Raises:
            BrokenOffError: the connection ended before the answer did.
            EngineTimeoutError: the engine has fallen silent, or the whole answer takes too long.
        """
        now = self._clock()
        if now >= self._deadline:
            raise _unended()
        stall_at = self._heard_at + self._stall_seconds
        try:
            data = await self._response.read(min(now + patience, stall_at, self._deadline))
        except TimeoutError as error:
            now = self._clock()
            if now >= self._deadline:
                raise _unended() from error
            if now >= stall_at:
                self.stalled = True
                raise EngineTimeoutError(f"The engine sent nothing for {self._stall_seconds:g} seconds.") from error
            return None
        self._heard_at = self._clock()
        return data

    def close(self) -> None:
        """Close the connection, and vLLM aborts; if the answer has ended, the connection is kept for others."""
        self._response.close()


def _unended() -> EngineTimeoutError:
    return EngineTimeoutError("The engine did not end its answer in time.")


def _too_late(timeout_seconds: float) -> EngineTimeoutError:
    return EngineTimeoutError(f"The engine did not answer within {timeout_seconds:g} seconds.")


class Upstream:
    """Connections of one event loop to all engines. Concurrency is never limited here: vLLM queues better."""

    def __init__(self, *, max_answer_bytes: int = MAX_ANSWER_BYTES, stall_seconds: float = STALL_SECONDS) -> None:
        self.max_answer_bytes = max_answer_bytes
        self.stall_seconds = stall_seconds
        self.pool = Pool()

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        api_key: str,
        timeout_seconds: float,
        headers: Mapping[str, str] = NO_HEADERS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> UpstreamAnswer:
        """Return the engine's answer, whatever its status. Cancelling this closes the connection, and vLLM aborts.

        Raises:
            ConnectError: the engine was not reached.
            BrokenOffError: the connection ended before the answer did.
            EngineTimeoutError: the answer was not there in time.
            BadAnswerError: the answer is larger than the gateway reads.
        """
        until = asyncio.get_running_loop().time() + timeout_seconds
        try:
            response = await self._ask("POST", url, body, api_key, headers, connect_seconds, until)
            return await self._whole(response, until)
        except TimeoutError as error:
            raise _too_late(timeout_seconds) from error

    async def get(self, url: str, *, api_key: str, timeout_seconds: float) -> UpstreamAnswer:
        """Return what the engine says of itself there. Raises as `post` does."""
        until = asyncio.get_running_loop().time() + timeout_seconds
        try:
            response = await self._ask("GET", url, b"", api_key, NO_HEADERS, CONNECT_SECONDS, until)
            return await self._whole(response, until)
        except TimeoutError as error:
            raise _too_late(timeout_seconds) from error

    async def open(
        self,
        url: str,
        body: bytes,
        *,
        api_key: str,
        timeout_seconds: float,
        headers: Mapping[str, str] = NO_HEADERS,
        connect_seconds: float = CONNECT_SECONDS,
        first_byte_seconds: float | None = None,
        idle_seconds: float | None = None,
    ) -> UpstreamAnswer | UpstreamStream:
        """Return the engine's stream once its first bytes are there; the whole answer if it is anything else.

        `timeout_seconds` is for the whole answer, `first_byte_seconds` for its beginning; `idle_seconds` is how long it
        may be silent, in place of the setting. Cancelling this closes the connection.

        Raises:
            ConnectError: the engine was not reached.
            BrokenOffError: the connection ended before the first byte.
            SilentError: the first byte was not there in time.
            EngineTimeoutError: the time for the whole answer was over before that.
            BadAnswerError: the answer is no stream, and larger than the gateway reads.
        """
        now = asyncio.get_running_loop().time()
        deadline = now + timeout_seconds
        is_brief = first_byte_seconds is not None and first_byte_seconds < timeout_seconds
        until = now + first_byte_seconds if is_brief and first_byte_seconds else deadline
        try:
            response = await self._ask("POST", url, body, api_key, headers, connect_seconds, until)
            return await self._begin(response, until, deadline, idle_seconds or self.stall_seconds)
        except TimeoutError as error:
            if is_brief:
                raise SilentError(
                    f"The engine did not begin its answer within {first_byte_seconds:g} seconds."
                ) from error
            raise _too_late(timeout_seconds) from error

    async def _begin(
        self, response: Response, until: float, deadline: float, idle_seconds: float
    ) -> UpstreamAnswer | UpstreamStream:
        if response.status != HTTPStatus.OK or not _is_stream(response):
            return await self._whole(response, until)
        try:
            first = await response.read(until)
        except BaseException:
            response.close()
            raise
        if not first:
            raise BrokenOffError("The engine ended its answer before it began.")
        return UpstreamStream(response, first, deadline=deadline, stall_seconds=idle_seconds)

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes,
        api_key: str,
        headers: Mapping[str, str],
        connect_seconds: float,
        until: float,
    ) -> Response:
        """Return the answer once its headers are there. Raises as `post` does, and TimeoutError."""
        origin, head = target(method, url, api_key, tuple(headers.items()))
        now = asyncio.get_running_loop().time()
        if (connection := self.pool.idle(origin, now)) is None:
            connection = await self._connect(origin, connect_seconds, until - now)
        response = connection.ask(head, body)
        try:
            await response.beginning(until)
        except BaseException:
            response.close()
            raise
        return response

    async def _connect(self, origin: Origin, connect_seconds: float, seconds_left: float) -> Connection:
        try:
            return await self.pool.connect(origin, min(connect_seconds, seconds_left))
        except ConnectError as error:
            if isinstance(error.__cause__, TimeoutError) and seconds_left < connect_seconds:
                raise TimeoutError from error
            raise

    async def _whole(self, response: Response, until: float) -> UpstreamAnswer:
        """Return the answer once all of it is there."""
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := await response.read(until):
                chunks.append(chunk)
                size += len(chunk)
                if size > self.max_answer_bytes:
                    raise BadAnswerError(f"The engine's answer is larger than {self.max_answer_bytes} bytes.")
        finally:
            response.close()  # its connection, unless all was read: then it is free for others
        return UpstreamAnswer(response.status, b"".join(chunks), response.headers)

    async def close(self) -> None:
        """Close every connection."""
        self.pool.close()
        await asyncio.sleep(0)  # transports close in the next turn of the loop


def _is_stream(response: Response) -> bool:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == CONTENT_TYPE
