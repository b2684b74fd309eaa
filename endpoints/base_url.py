"""What a base URL may look like. Pure.

vLLM serves the OpenAI API under `/v1`, and paths such as `/chat/completions` are appended to the base URL, so
`http://host:8000` instead of `http://host:8000/v1` is the commonest mistake there is. It is answered with the
correction.
"""

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(?:%\w+)?")  # a name, an IPv4 or an IPv6 address


class BaseUrlError(ValueError):
    """A base URL that cannot be used. `corrected` is the form to use instead, or "" if there is none to offer."""

    def __init__(self, problem: str, corrected: str = "") -> None:
        self.corrected = corrected
        super().__init__(f"{problem} Use {corrected}" if corrected else problem)


def check(url: str) -> str:
    """Return the base URL without a trailing slash.

    Raises:
        BaseUrlError: if it is not http(s), carries credentials, a query or a fragment, or does not end in `/v1`.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BaseUrlError(f"{url!r} is not a URL.") from None
    if parts.scheme not in {"http", "https"}:
        guess = _guess(url.partition("://")[2] if "://" in url else url)
        raise BaseUrlError("A base URL starts with http:// or https://.", guess)
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise BaseUrlError("A base URL names a host, for example http://gpu-1:8000/v1.")
    if port == 0:
        raise BaseUrlError("Port 0 is not a port that a server listens on.")
    corrected = _with_v1(parts)
    if "@" in parts.netloc:
        raise BaseUrlError("A base URL carries no credentials: put the key into the API key field.", corrected)
    if parts.query or parts.fragment:
        raise BaseUrlError("A base URL has no query and no fragment.", corrected)
    if not parts.path.rstrip("/").endswith("/v1"):
        raise BaseUrlError("The base URL does not end in /v1.", corrected)
    return corrected


def _guess(rest: str) -> str:
    """Return what was meant by an address without its scheme; "" if it is none."""
    try:
        parts = urlsplit("http://" + rest)
        usable = parts.port != 0 and _HOST.fullmatch(parts.hostname or "")
    except ValueError:
        return ""
    return _with_v1(parts) if usable else ""


def _with_v1(parts: SplitResult) -> str:
    path = parts.path.rstrip("/")
    if path.endswith("/V1"):
        path = path[:-3] + "/v1"
    for tail in ("/chat/completions", "/completions", "/responses", "/models"):
        path = path.removesuffix(tail)
    if not path.endswith("/v1"):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
