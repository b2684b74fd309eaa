"""API keys: how they look, and the hash that is stored in their place. Pure; the randomness is an argument.

Keys are long and random, so a plain SHA-256 is enough: there is no dictionary to try, and a slow hash would be paid on
every request.
"""

import hashlib

PREFIX = "rh-"
SHOWN = 10


def plaintext(randomness: bytes) -> str:
    """Return the key made of these random bytes (at least 24 of them)."""
    if len(randomness) < 24:  # noqa: PLR2004
        raise ValueError("An API key needs at least 24 random bytes.")
    return PREFIX + randomness.hex()


def digest(key: str) -> str:
    """Return the 64 hexadecimal digits that are stored and looked up."""
    return hashlib.sha256(key.encode()).hexdigest()


def shown(key: str) -> str:
    """Return the beginning of the key, by which people recognise it."""
    return key[:SHOWN] + "…"
