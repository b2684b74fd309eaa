"""What callers keep for the gateway, so that they can neither read nor change it. Pure: the cipher is an argument."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

_thoughts = msgspec.json.Decoder(list[str])


class Seal(Protocol):
    """The seal of one caller."""

    def close(self, text: str) -> str:
        """Return the text as its caller keeps it."""
        ...

    def open(self, sealed: str) -> str:
        """Return the text. Raises ValueError if it was not closed under this seal."""
        ...


def close_thoughts(seal: Seal, thoughts: Sequence[str]) -> str:
    """Return what a model thought as its caller keeps it."""
    return seal.close(msgspec.json.encode(thoughts).decode())


def open_thoughts(seal: Seal | None, sealed: str | None) -> list[str] | None:
    """Return what a model thought; None if that was not closed under this seal, or is something else."""
    if seal is None or not sealed:
        return None
    try:
        return _thoughts.decode(seal.open(sealed))
    except ValueError:
        return None
