"""`<think>` in text, whole or streamed. Pure.

The rule, which loses no character but the tags:

1. `<think>…</think>` is a thought, wherever it stands; text around it is joined without it.
2. A `<think>` that is never closed: all that follows is a thought (the answer was cut off while thinking).
3. A `</think>` that was never opened: all since the last closed thought is one (templates open it in the prompt).

Nothing is trimmed. Thoughts may be empty.
"""

from enum import Enum, auto
from typing import NamedTuple

OPEN, CLOSE = "<think>", "</think>"


def split(text: str) -> tuple[list[str], str]:
    """Return the thoughts, in order, and the text without them."""
    if CLOSE not in text and OPEN not in text:
        return [], text
    thoughts: list[str] = []
    spoken: list[str] = []
    rest = text
    while rest:
        before, tag, after = rest.partition(CLOSE)
        said, opened, thought = before.partition(OPEN)
        if opened:
            spoken.append(said)
            thoughts.append(thought)
        elif tag:
            thoughts.append(said)
        else:
            spoken.append(said)
        rest = after
    return thoughts, "".join(spoken)


def wrap(thought: str) -> str:
    """Return the thought between its tags."""
    return f"{OPEN}{thought}{CLOSE}"


class Kind(Enum):
    """What a piece of streamed text is."""

    TEXT = auto()
    NEW_THOUGHT = auto()  # the tag itself: a thought begins, and may stay empty
    THOUGHT = auto()


class Piece(NamedTuple):
    """A piece of streamed text."""

    kind: Kind
    text: str = ""


class Splitter:
    """The same rule for text that comes in deltas, wherever they are cut, but for one case.

    A `</think>` that was never opened comes too late: what stood before it has left as text and cannot be taken back.
    The tag then stays in the text, where a client that sends the conversation back returns it, and `split` finds the
    thought.
    """

    def __init__(self) -> None:
        self._thinking = False
        self._held = ""  # may be the beginning of a tag

    def feed(self, delta: str) -> list[Piece]:
        """Return what is certain about the text so far and was not returned yet."""
        pieces: list[Piece] = []
        rest = self._held + delta
        while True:
            before, tag, after = rest.partition(CLOSE if self._thinking else OPEN)
            if not tag:
                break
            pieces += self._piece(before)
            self._thinking = not self._thinking
            if self._thinking:
                pieces.append(Piece(Kind.NEW_THOUGHT))
            rest = after
        held = _beginning(rest, CLOSE if self._thinking else OPEN)
        self._held = rest[len(rest) - held :]
        return pieces + self._piece(rest[: len(rest) - held])

    def flush(self) -> list[Piece]:
        """Return what was held back: no tag follows. A thought that is open stays open."""
        held, self._held = self._held, ""
        return self._piece(held)

    def _piece(self, text: str) -> list[Piece]:
        return [Piece(Kind.THOUGHT if self._thinking else Kind.TEXT, text)] if text else []


def _beginning(text: str, tag: str) -> int:
    """Return how many characters at the end of the text may be the tag's first."""
    return next((length for length in range(len(tag) - 1, 0, -1) if text.endswith(tag[:length])), 0)
