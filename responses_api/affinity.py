"""Which session a request says it belongs to. Pure: the signing key and fresh ids are arguments.

`SOURCES` is asked in order, the first key wins. A request that carries none is known by what was said in it, if that
can be (`fingerprint`); else it begins a session and is given a cookie.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import NamedTuple

from responses_api.errors import RequestError

HEADER = "x-session-id"
MAX_LENGTH = 200

# What agents call the conversation that a request belongs to: for them, a session that goes on for long.
THREAD_HEADERS = ("session-id", "session_id", "thread-id", "x-claude-code-session-id")

COOKIE = "roundhouse_session"
COOKIE_PATH = "/v1"
COOKIE_SECONDS = 14 * 24 * 3600
_SIGNATURE_LENGTH = 32


class Hints(NamedTuple):
    """What of a request may tell its session: its headers, by small-letter name, the key that signs cookies, the
    session of what it continues, and what its body says. Whatever was not said is empty.
    """

    headers: Mapping[str, str]
    cookie_secret: bytes
    continued: str = ""
    prompt_cache_key: str = ""
    metadata_session_id: str = ""
    opening: Callable[[], str] = str  # what tells by what the conversation begins; asked only if there is a cookie


class SessionKey(NamedTuple):
    """The key of a session, unique for one caller and profile. `fresh`: it was made for this request. `is_named`: the
    caller names the session in every request, so that it need not be known by what is said in it.
    """

    key: str
    fresh: bool = False
    is_named: bool = True


def from_header(hints: Hints) -> str | None:
    """Return what `X-Session-ID` says.

    Raises:
        RequestError: if it cannot be a key.
    """
    given = hints.headers.get(HEADER)
    if given is None:
        return None
    key = given.strip()
    if not _is_key(key):
        raise RequestError(f"X-Session-ID holds 1 to {MAX_LENGTH} printable ASCII characters.", param="X-Session-ID")
    return key


def _is_key(text: str) -> bool:
    return 0 < len(text) <= MAX_LENGTH and text.isascii() and text.isprintable()


def from_thread_header(hints: Hints) -> str | None:
    """Return what an agent's header says, if it can be a key: it was not written for us."""
    for name in THREAD_HEADERS:
        key = hints.headers.get(name, "").strip()
        if key and _is_key(key):
            return key
    return None


def from_continued(hints: Hints) -> str | None:
    """Return the session of the response, conversation or item that the request continues."""
    return hints.continued or None


def from_prompt_cache_key(hints: Hints) -> str | None:
    """Return the key under which the caller wants prefixes to be found again."""
    return _as_key(hints.prompt_cache_key)


def from_metadata(hints: Hints) -> str | None:
    """Return what the metadata says."""
    return _as_key(hints.metadata_session_id)


def _as_key(text: str) -> str | None:
    """Return a key for any text: itself, or its hash if it cannot be one."""
    if not text or _is_key(text):
        return text or None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def from_cookie(hints: Hints) -> str | None:
    """Return what a cookie of ours says, if it was given to this conversation: many clients put the cookies of all
    their conversations into one jar. None if there is none, or one that somebody else wrote.
    """
    for pair in hints.headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            said, _, signature = value.rpartition(".")
            key, _, opening = said.rpartition(".")
            if key and hmac.compare_digest(signature.encode(), _signature(said, hints.cookie_secret).encode()):
                return key if opening == hints.opening() else None
    return None


# By the names under which docs/explanation/sessions.md explains them.
SOURCES: Mapping[str, Callable[[Hints], str | None]] = {
    "the header `X-Session-ID`": from_header,
    "the header of an agent": from_thread_header,
    "what the request continues": from_continued,
    "`prompt_cache_key`": from_prompt_cache_key,
    "`metadata.session_id`": from_metadata,
    "the cookie": from_cookie,
}
# What is asked after all of them, by `sessions` with `fingerprint`.
BY_ITSELF = "the conversation itself"


def find(hints: Hints, new_key: Callable[[], str]) -> SessionKey:
    """Return the request's session key.

    Raises:
        RequestError: if a source holds something that cannot be one.
    """
    for source in SOURCES.values():
        if key := source(hints):
            return SessionKey(key, is_named=source is not from_cookie)
    return SessionKey(new_key(), fresh=True, is_named=False)


def set_cookie(key: str, opening: str, secret: bytes, *, secure: bool) -> str:
    """Return the value of a Set-Cookie header that brings a conversation with this opening back to its session."""
    said = f"{key}.{opening}"
    cookie = f"{COOKIE}={said}.{_signature(said, secret)}; Path={COOKIE_PATH}; Max-Age={COOKIE_SECONDS}; HttpOnly"
    return f"{cookie}; SameSite=Lax; Secure" if secure else f"{cookie}; SameSite=Lax"


def _signature(said: str, secret: bytes) -> str:
    return hmac.new(secret, b"session cookie:" + said.encode(), hashlib.sha256).hexdigest()[:_SIGNATURE_LENGTH]
