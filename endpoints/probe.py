"""The door to engines for everything that is not a user's request: is it there, what does it serve, can it generate?

The only importer of httpx. Whatever a server does, an answer comes within the timeout: it counts for the whole look,
not for each packet, and no more than `MAX_BODY` bytes are read.
"""

import asyncio
import contextlib
import functools
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_SECONDS = 3.0
TOKEN_TIMEOUT_SECONDS = 60.0
MAX_BODY = 1_000_000  # bytes
MAX_AT_ONCE = 256
MAX_SAID = 200  # characters

logging.getLogger("httpx").setLevel(logging.WARNING)  # else every probe is a line in the log

_NO_SUCH_ROUTE = frozenset({404, 405, 501})
# The system's own number of an error says nothing that its words do not.
_ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")


@dataclass(frozen=True)
class Target:
    """Whom to ask: a base URL that ends in /v1, and the key it wants (or "")."""

    base_url: str
    api_key: str


@dataclass(frozen=True)
class Look:
    """What a look found. `problem` is empty if the endpoint is well, else one sentence.

    `listening` is False if nobody took the connection.
    """

    problem: str
    served_models: tuple[str, ...] = ()
    max_model_len: int | None = None
    listening: bool = True


class ProbeError(Exception):
    """An engine did not do what was asked; the message says what it did instead."""


class NothingListensError(ProbeError):
    """Nobody took the connection."""


def look(target: Target, *, seconds: float = TIMEOUT_SECONDS) -> Look:
    """Return how one endpoint is. Never raises for what a server does."""
    return look_at_all([target], seconds=seconds)[0]


def look_at_all(targets: Sequence[Target], *, seconds: float = TIMEOUT_SECONDS) -> list[Look]:
    """Return how each endpoint is, in order. They are asked at the same time: one that hangs delays no other."""
    return asyncio.run(_look_at_all(targets, seconds))


def generate_token(target: Target, model: str, *, seconds: float = TOKEN_TIMEOUT_SECONDS) -> None:
    """Return once the model generated a token.

    Raises:
        ProbeError: if it did not.
    """
    asyncio.run(_generate_token(target, model, seconds))


async def _look_at_all(targets: Sequence[Target], seconds: float) -> list[Look]:
    slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def one(client: httpx.AsyncClient, target: Target) -> Look:
        async with slots:
            try:
                return await _look(client, target, seconds)
            except ProbeError as error:
                return Look(problem=str(error), listening=not isinstance(error, NothingListensError))

    async with _client() as client:
        return list(await asyncio.gather(*(one(client, target) for target in targets)))


async def _look(client: httpx.AsyncClient, target: Target, seconds: float) -> Look:
    async with _deadline(seconds):
        status, _ = await _ask(client, "GET", _origin(target) + "/health", target)
        if status not in {200, 204} and status not in _NO_SUCH_ROUTE:
            raise ProbeError(f"GET /health answers HTTP {status}.")
        models_status, body = await _ask(client, "GET", target.base_url + "/models", target)
    if models_status in _NO_SUCH_ROUTE and status not in _NO_SUCH_ROUTE:
        return Look(problem="")  # healthy, and it does not say what it serves
    if models_status in {401, 403}:
        raise ProbeError(f"It refuses the API key (GET /v1/models answers HTTP {models_status}).")
    if models_status != httpx.codes.OK:
        raise ProbeError(f"GET /v1/models answers HTTP {models_status}.")
    return _read_models(body)


async def _generate_token(target: Target, model: str, seconds: float) -> None:
    completion = {"model": model, "prompt": "Hello", "max_tokens": 1}
    chat = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    async with _client() as client, _deadline(seconds):
        path, (status, body) = (
            "/completions",
            await _ask(client, "POST", target.base_url + "/completions", target, completion),
        )
        if status in _NO_SUCH_ROUTE or status == httpx.codes.BAD_REQUEST:
            path, (status, body) = (
                "/chat/completions",
                await _ask(client, "POST", target.base_url + "/chat/completions", target, chat),
            )
    if status != httpx.codes.OK:
        raise ProbeError(f"POST /v1{path} answers HTTP {status}: {_message(body)}")
    choices = _object(body, path).get("choices")
    if not isinstance(choices, list) or not choices:
        raise ProbeError(f"POST /v1{path} answers without a choice.")


async def _ask(
    client: httpx.AsyncClient, method: str, url: str, target: Target, body: dict[str, Any] | None = None
) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {target.api_key}"} if target.api_key else {}
    try:
        async with client.stream(method, url, headers=headers, json=body) as response:
            received = b""
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > MAX_BODY:
                    raise ProbeError(f"{method} {response.url.path} answers more than {MAX_BODY} bytes.")
            return response.status_code, received
    except httpx.ConnectError as error:
        said = _ERROR_NUMBER.sub("", str(error))
        raise NothingListensError(f"Nothing answers at {_origin(target)}: {said}") from None
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise ProbeError(f"{method} {url.removeprefix(_origin(target))} failed: {said}") from None
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise ProbeError(f"{target.base_url} cannot be asked: {error}") from None


@contextlib.asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ProbeError(f"No answer within {seconds:g} s.") from None


def _client() -> httpx.AsyncClient:
    # trust_env=False: a proxy variable must not send health checks elsewhere than the requests they stand for.
    return httpx.AsyncClient(
        timeout=TOKEN_TIMEOUT_SECONDS, verify=_tls(), trust_env=False, limits=httpx.Limits(max_connections=MAX_AT_ONCE)
    )


@functools.lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reading the certificates takes longer than a probe


def _origin(target: Target) -> str:
    return target.base_url.removesuffix("/v1")


def _object(body: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProbeError(f"/v1{path} answers something else than a JSON object.")
    return found


def _read_models(body: bytes) -> Look:
    rows = _object(body, "/models").get("data")
    if not isinstance(rows, list):
        raise ProbeError("GET /v1/models answers without a list of models.")
    # Printable: PostgreSQL takes neither NUL nor half of a surrogate pair, and one such name would end the whole round.
    models = [
        row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"].isprintable()
    ]
    lengths = [length for row in models if type(length := row.get("max_model_len")) is int and 0 < length < 2**31]
    return Look("", tuple(row["id"] for row in models), min(lengths, default=None))


def _message(body: bytes) -> str:
    """Return what the engine says went wrong, in at most MAX_SAID printable characters."""
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(body)
        error = found.get("error", found) if isinstance(found, dict) else found
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    text = "".join(letter for letter in text[:MAX_SAID] if letter.isprintable())
    return text.strip() or "no message"
