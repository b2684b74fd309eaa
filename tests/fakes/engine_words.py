"""The tokenizer of a scripted engine: a token is a word with the white space before it.

Every token that anybody has written in this process has a number, the same for all engines in it.
"""

import itertools
import re
import threading

END = "<|im_end|>"
END_ID = 2

_PIECES = re.compile(r"\s*\S+(?:\s+$)?|\s+")
_ids = {END: END_ID}
_words = {END_ID: END}
_numbers = itertools.count(1000)
_lock = threading.Lock()


def pieces_of(text: str) -> list[str]:
    """Return the tokens of a text; joined they are the text."""
    return _PIECES.findall(text)


def id_of(piece: str) -> int:
    """Return the number of a token."""
    with _lock:
        if piece not in _ids:
            _ids[piece] = number = next(_numbers)
            _words[number] = piece
        return _ids[piece]


def ids_of(pieces: list[str]) -> list[int]:
    """Return the numbers of some tokens."""
    return [id_of(piece) for piece in pieces]


def word_of(number: int) -> str | None:
    """Return the token with this number, None if nobody has written it."""
    return _words.get(number)
