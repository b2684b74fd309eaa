"""The input of a custom tool, which is plain text, as the argument of a function, which is JSON. Pure."""

import re
from typing import Any

import msgspec

_BEGINNING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# What a JSON string is made of: text, an escape (a surrogate pair is one), or its end.
_PIECE = re.compile(r'[^"\\]+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]|"')
# An escape that may go on: nothing can be said of it yet.
_PENDING = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?$")
REPLACEMENT = "�"  # for half of a surrogate pair, which is no character


def arguments(text: str) -> str:
    """Return the arguments of the function call for an input."""
    return msgspec.json.encode({"input": text}).decode()


def input_of(given: str) -> str:
    """Return the input in a function call's arguments; the arguments themselves if they have none."""
    reader = InputReader()
    text = reader.feed(given)
    return text + reader.rest()


class InputReader:
    """The same piece by piece: what `feed` returns, and `rest` at the end, is the input."""

    def __init__(self) -> None:
        self._held = ""  # what nothing can be said of yet
        self._begun = False
        self._ended = False

    def feed(self, piece: str) -> str:
        """Return what more of the input is certain now."""
        if self._ended:
            return ""
        self._held += piece
        if not self._begun:
            begun = _BEGINNING.match(self._held)
            if begun is None:
                return ""
            self._begun, self._held = True, self._held[begun.end() :]
        return self._read()

    def _read(self) -> str:
        found: list[str] = []
        place = 0
        while (piece := _PIECE.match(self._held, place)) and not _PENDING.match(self._held, place):
            place = piece.end()
            if piece[0] == '"':
                self._ended = True
                break
            found.append(_text(piece[0]))
        self._held = self._held[place:]
        return "".join(found)

    def rest(self) -> str:
        """Return what is left when the arguments are complete."""
        if self._begun:
            return ""
        try:
            whole: Any = msgspec.json.decode(self._held)
        except (ValueError, RecursionError):
            return self._held
        if isinstance(whole, dict):
            if isinstance(whole.get("input"), str):
                return str(whole["input"])
            if not whole:
                return ""
        return self._held


def _text(piece: str) -> str:
    if not piece.startswith("\\"):
        return piece
    try:
        return str(msgspec.json.decode(f'"{piece}"'))
    except ValueError:
        return REPLACEMENT if piece.startswith("\\u") else piece[1:]
