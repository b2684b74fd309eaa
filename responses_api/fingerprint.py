"""How a conversation is known again that nobody gave a name: by what was said in it. Pure.

A hash rolls over the conversation, and is noted wherever the model's turn ends. Whoever sends a conversation back with
one more turn sends such an end with it. Only ends of answers that left through this gateway are remembered, so what
conversations merely share, a system prompt or a first question, never joins them.

What clients change when they send items back is left out: ids, statuses, reasoning, the cut of a text into parts, and
the blanks in arguments.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from responses_api.convert import think
from responses_api.convert.think import TAGS, Tags

# How many ends of answers are looked for, and remembered: whoever goes back further begins a new session.
LOOK_BACK = 8

DIGEST_BYTES = 8  # a database's integer
MEDIA_ENDS = 200  # characters at either end of a picture or a file, which tell it from others

BETWEEN, WITHIN = "\x1e", "\x1f"
SYSTEM = frozenset({"system", "developer"})
_MEDIA = ("image_url", "file_id", "file_url", "file_data", "file", "input_audio", "audio_url", "video_url", "source")
_BLANKS = str.maketrans("", "", " \t\r\n")


class Trail:
    """A conversation so far. `answers` are the ends of the model's latest turns, the newest first."""

    def __init__(self, scope: str, conversation: Iterable[Any], tags: Tags = TAGS) -> None:
        """`scope` keeps apart what is never to be joined; the conversation is items or messages, oldest first; `tags`
        stand around thoughts in its text.
        """
        self._scope = scope.encode()
        self._tags = tags
        self._first = ""  # what somebody other than the system said first
        self._begin_anew()
        for item in conversation:
            self._take(item)
        open_end = [self._end(self._turn())] if self._turn() else []
        self.answers = (*open_end, *reversed(self._ends))[:LOOK_BACK]

    @property
    def opening(self) -> str:
        """What tells conversations apart by their first item that is not of the system."""
        return blake2b(_bytes(self._first), digest_size=DIGEST_BYTES).hexdigest()

    def after(self, reply: Iterable[Any]) -> int | None:
        """Return the end of this answer to the conversation; None if it says nothing. To be called once."""
        unsaid, ends = self._turn(), self._ends
        for item in reply:
            self._take(item)
        if self._ends is not ends:  # the conversation was replaced
            return self._ends[-1]
        said = self._turn()
        return self._end(said) if said != unsaid else None

    def _begin_anew(self) -> None:
        self._hash = blake2b(digest_size=DIGEST_BYTES, key=self._scope)
        self._texts: list[str] = []  # of the model's turn so far, and its calls
        self._calls: list[str] = []
        self._ends: deque[int] = deque(maxlen=LOOK_BACK)

    def _take(self, item: Any) -> None:
        if not isinstance(item, dict):
            return
        role = item.get("role")
        if role == "assistant":
            self._speak(item)
        elif isinstance(role, str):
            self._hear("system" if role in SYSTEM else role, item.get("content"))
        elif (reader := ITEMS.get(str(item.get("type")))) is not None:
            reader(self, item)

    def _speak(self, message: Mapping[str, Any]) -> None:
        """Take a message of the model. How its text is cut into parts, items and calls does not count."""
        content, calls = message.get("content"), message.get("tool_calls")
        self._texts.append(_text(content))
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "tool_use":
                self._calls.append(f"{part.get('name')}{WITHIN}{part.get('id')}")
        functions = (
            [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        )
        for function in [*functions, message.get("function_call")]:  # the latter is the form before tool_calls
            if isinstance(function, dict):
                self.call(function.get("name"), function.get("arguments"))

    def call(self, name: Any, arguments: Any) -> None:
        """Take a call of the model."""
        self._calls.append(f"{name}{WITHIN}{_squeezed(arguments)}")

    def hear_result(self, output: Any) -> None:
        """Take what a call returned."""
        self._hear("tool", output)

    def replace(self, sealed: Any) -> None:
        """Take a summary of ours in the place of all that was said: from here on, it is what the conversation began
        with.
        """
        self._begin_anew()
        self._calls.append(f"compaction{WITHIN}{sealed}")
        self._close()

    def _hear(self, role: str, content: Any) -> None:
        self._close()
        said = f"{role}{WITHIN}{_text(content)}"
        if not self._first and role != "system":
            self._first = said
        self._hash.update(_bytes(BETWEEN + said))

    def _turn(self) -> str:
        """Return what the model said in the turn that may go on; empty if it said nothing."""
        _, text = think.split("".join(self._texts), self._tags)
        text = text.strip()
        return BETWEEN.join((text, *self._calls)) if text or self._calls else ""

    def _close(self) -> None:
        if self._texts or self._calls:
            if said := self._turn():
                self._hash.update(_bytes(f"{BETWEEN}assistant{WITHIN}{said}"))
                self._ends.append(_number(self._hash.digest()))
            self._texts, self._calls = [], []

    def _end(self, said: str) -> int:
        rolled = self._hash.copy()
        rolled.update(_bytes(f"{BETWEEN}assistant{WITHIN}{said}"))
        return _number(rolled.digest())


ITEMS: Mapping[str, Callable[[Trail, Mapping[str, Any]], None]] = {
    "function_call": lambda trail, item: trail.call(item.get("name"), item.get("arguments")),
    "custom_tool_call": lambda trail, item: trail.call(item.get("name"), item.get("input")),
    "function_call_output": lambda trail, item: trail.hear_result(item.get("output")),
    "custom_tool_call_output": lambda trail, item: trail.hear_result(item.get("output")),
    "compaction": lambda trail, item: trail.replace(item.get("encrypted_content")),
}


def _text(content: Any) -> str:
    """Return what a content says, whether it is text or parts."""
    if isinstance(content, str):
        return content
    return "".join([_part(part) for part in content]) if isinstance(content, list) else ""


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    for name in ("text", "refusal"):
        if isinstance(said := part.get(name), str):
            return said
    if part.get("type") == "tool_result":
        return _text(part.get("content"))
    return "".join([_media(part[name]) for name in _MEDIA if name in part])


def _media(given: Any) -> str:
    """Return what tells a picture or a file from others, without hashing all of it."""
    if isinstance(given, dict):
        return "".join([_media(value) for value in given.values() if isinstance(value, str)])
    if not isinstance(given, str) or len(given) <= 2 * MEDIA_ENDS:
        return str(given)
    return f"{len(given)}{given[:MEDIA_ENDS]}{given[-MEDIA_ENDS:]}"


def _squeezed(arguments: Any) -> str:
    """Return a call's arguments such that they are the same however they were written, but for the order of names."""
    written = arguments if isinstance(arguments, str) else ""
    try:
        if not written:
            written = msgspec.json.encode(arguments or {}).decode()
        elif "\\" in written:
            written = msgspec.json.encode(msgspec.json.decode(written)).decode()
    except (ValueError, RecursionError):
        return written
    return written.translate(_BLANKS)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big", signed=True)
