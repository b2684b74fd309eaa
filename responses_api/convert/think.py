"""`<think>` in text, whole or streamed. Pure.

The rule, which loses no character but the tags, whatever a profile calls them:

1. `<think>…</think>` is a thought, wherever it stands; `split` joins the text around it without it.
2. A `<think>` that is never closed: all that follows is a thought (the answer was cut off while thinking).
3. A `</think>` that was never opened: all since the last closed thought is one (templates open it in the prompt).
4. If it is known that the template does so, the text begins in a thought, opened once more or not, and closed or not.

Nothing is trimmed. Thoughts may be empty.
"""

from enum import Enum, auto
from typing import NamedTuple


class Tags(NamedTuple):
    """What opens a thought in text, and what closes it."""

    opening: str
    closing: str


TAGS = OPEN, CLOSE = Tags("<think>", "</think>")


def parts(text: str, tags: Tags = TAGS) -> list[tuple[bool, str]]:
    """Return the text in its parts, in order: whether each is a thought, and what it says. What is said is not empty,
    thoughts may be.
    """
    if tags.closing not in text and tags.opening not in text:
        return [(False, text)] if text else []
    found: list[tuple[bool, str]] = []
    rest = text
    while rest:
        before, closed, rest = rest.partition(tags.closing)
        said, opened, thought = before.partition(tags.opening)
        if opened:
            found += [(False, said), (True, thought)] if said else [(True, thought)]
        elif said or closed:
            found.append((bool(closed), said))
    return found


def split(text: str, tags: Tags = TAGS) -> tuple[list[str], str]:
    """Return the thoughts, in order, and the text without them."""
    found = parts(text, tags)
    return [said for is_thought, said in found if is_thought], "".join(said for thought, said in found if not thought)


def wrap(thought: str, tags: Tags = TAGS) -> str:
    """Return the thought between its tags."""
    return f"{tags.opening}{thought}{tags.closing}"


def opened(text: str, tags: Tags = TAGS) -> str:
    """Return a text that begins in a thought with the tag that opens it."""
    return tags.opening + text.removeprefix(tags.opening)


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

    def __init__(self, tags: Tags = TAGS, *, begins_in_thought: bool = False) -> None:
        self.begins_in_thought = begins_in_thought  # may change as long as there is no text
        self._tags = tags
        self._thinking = False
        self._held = ""  # may be the beginning of a tag

    def feed(self, delta: str) -> list[Piece]:
        """Return what is certain about the text so far and was not returned yet."""
        pieces: list[Piece] = []
        rest = self._held + delta
        if self.begins_in_thought:
            if self._tags.opening.startswith(rest) and rest != self._tags.opening:
                self._held = rest
                return pieces
            self.begins_in_thought, rest = False, opened(rest, self._tags)
        while True:
            before, tag, after = rest.partition(self._awaited())
            if not tag:
                break
            pieces += self._piece(before)
            self._thinking = not self._thinking
            if self._thinking:
                pieces.append(Piece(Kind.NEW_THOUGHT))
            rest = after
        held = _beginning(rest, self._awaited())
        self._held = rest[len(rest) - held :]
        return pieces + self._piece(rest[: len(rest) - held])

    def flush(self) -> list[Piece]:
        """Return what was held back: no tag follows. A thought that is open stays open."""
        held, self._held = self._held, ""
        if not held or not self.begins_in_thought:
            return self._piece(held)
        self.begins_in_thought, self._thinking = False, True
        return [Piece(Kind.NEW_THOUGHT), *self._piece(held)]

    def _awaited(self) -> str:
        return self._tags.closing if self._thinking else self._tags.opening

    def _piece(self, text: str) -> list[Piece]:
        return [Piece(Kind.THOUGHT if self._thinking else Kind.TEXT, text)] if text else []


def _beginning(text: str, tag: str) -> int:
    """Return how many characters at the end of the text may be the tag's first."""
    if tag[:1] not in text[1 - len(tag) :]:  # as in almost every token
        return 0
    return next((length for length in range(len(tag) - 1, 0, -1) if text.endswith(tag[:length])), 0)
