"""The lines of vLLM's log: without colours, prefixes and secrets. Pure."""

import re
from collections.abc import Iterable

TAIL_LINES = 40
MIN_SECRET = 8  # characters; anything shorter would blot out ordinary words

# "(EngineCore pid=18109) ERROR 11-21 08:26:15 [core.py:133] "; on other nodes "(RayWorkerWrapper pid=7, ip=10.0.0.2) ".
_PREFIX = re.compile(
    r"^(?:\((?:[A-Za-z_]+[^()]*?)pid=\d+(?:, ip=[^()]*)?\)\s*)*(?:\[rank\d+\]:\s*)?"
    r"(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+ \S+ \[?[^\]\s]*\]\s?)?"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ROUTE = re.compile(r"\] Route: /\S*, Methods: ")
_HF_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}\b")


def lines(log: str) -> list[str]:
    """Return the lines of a log; what a progress bar overwrote is a line of its own."""
    return [line for line in re.split(r"[\r\n]+", _COLOUR.sub("", log)) if line.strip()]


def tail(log: str, count: int = TAIL_LINES) -> str:
    """Return the last lines, without the fifty in which vLLM lists its routes."""
    return "\n".join([line for line in lines(log) if not _ROUTE.search(line)][-count:])


def without_prefix(line: str) -> str:
    """Return what a process said, without its name, the time and the place in its code."""
    return _PREFIX.sub("", line)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets, and without anything that looks like a Hugging Face token."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET:
            text = text.replace(secret, "[redacted]")
    return _HF_TOKEN.sub("[redacted]", text)
