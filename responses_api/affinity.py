"""Which session a request belongs to. Pure: the signing key and fresh ids are arguments.

`SOURCES` is asked in order, the first key wins; a request that carries none begins a session and is given a cookie.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from responses_api.errors import RequestError

HEADER = "x-session-id"
MAX_LENGTH = 200

COOKIE = "roundhouse_session"
COOKIE_PATH = "/v1"
COOKIE_SECONDS = 14 * 24 * 3600
_SIGNATURE_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Hints:
    """What of a request may tell its session: its headers, by small-letter name, and the key that signs cookies."""

    headers: Mapping[str, str]
    cookie_secret: bytes


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The key of a session, unique for one caller and profile. `fresh`: it was made for this request."""

    key: str
    fresh: bool = False


def from_header(hints: Hints) -> str | None:
    """Return what `X-Session-ID` says.

    Raises:
        RequestError: if it cannot be a key.
    """
    given = hints.headers.get(HEADER)
    if given is None:
        return None
    key = given.strip()
    if not 0 < len(key) <= MAX_LENGTH or not (key.isascii() and key.isprintable()):
        raise RequestError(f"X-Session-ID holds 1 to {MAX_LENGTH} printable ASCII characters.", param="X-Session-ID")
    return key


def from_cookie(hints: Hints) -> str | None:
    """Return what a cookie of ours says; None if there is none, or one that somebody else wrote."""
    for pair in hints.headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            key, _, signature = value.rpartition(".")
            if key and hmac.compare_digest(signature.encode(), _signature(key, hints.cookie_secret).encode()):
                return key
    return None


SOURCES: tuple[Callable[[Hints], str | None], ...] = (from_header, from_cookie)


def find(hints: Hints, new_key: Callable[[], str]) -> SessionKey:
    """Return the request's session key.

    Raises:
        RequestError: if a source holds something that cannot be one.
    """
    for source in SOURCES:
        if key := source(hints):
            return SessionKey(key)
    return SessionKey(new_key(), fresh=True)


def set_cookie(key: str, secret: bytes, *, secure: bool) -> str:
    """Return the value of a Set-Cookie header that brings the client back to its session."""
    cookie = f"{COOKIE}={key}.{_signature(key, secret)}; Path={COOKIE_PATH}; Max-Age={COOKIE_SECONDS}; HttpOnly"
    return f"{cookie}; SameSite=Lax; Secure" if secure else f"{cookie}; SameSite=Lax"


def _signature(key: str, secret: bytes) -> str:
    return hmac.new(secret, b"session cookie:" + key.encode(), hashlib.sha256).hexdigest()[:_SIGNATURE_LENGTH]
