"""Which of the generated tokens the text was made of, and their log-probabilities. Pure.

Engines give one entry for each token that they generated: those of thoughts, tags, calls and the end too. The rule:

1. A token belongs to the text if any character of it does, and to the first delta that holds one.
2. The text is looked for among the tokens behind what was found before. If it is not there (the engine changed it),
   all that is left counts: too many rather than none.
3. An entry's text comes from its bytes, if its token is written as a number (`token_id:5`). Engines send no such bytes
   for the alternatives, which stay numbers.
"""

from typing import Any

Entry = dict[str, Any]

TOKEN_ID = "token_id:"  # noqa: S105  (how vLLM writes a token as a number)
UNLIKELY = -9999.0  # vLLM's own word for a token whose log-probability is unknown, or minus infinity


class Alignment:
    """Tokens in, and what was said; the tokens of the text out."""

    def __init__(self) -> None:
        self._said = bytearray()  # what all tokens say
        self._entries: list[tuple[int, int, Entry]] = []  # where each begins and ends in that
        self._at = 0  # in `_said`
        self._likely = 0  # where the text begins, if a thought has just ended
        self._next = 0  # in `_entries`

    def add(self, logprobs: Any) -> None:
        """Take the tokens of a choice or a chunk, in whatever shape."""
        for given in entries(logprobs):
            said = b"" if _is_number(given) else _bytes(given)
            begin = len(self._said)
            self._said += said
            self._entries.append((begin, begin + len(said), _entry(given)))

    def skip(self, said: str) -> None:
        """Leave out the tokens of something that is not the text."""
        data = said.encode("utf-8", "replace")
        at = self._find(data)
        if at >= 0:
            self._at = at + len(data)

    def pass_over(self, tag: str) -> None:
        """Look for the text behind a tag, if there is one ahead: it may be said in the same letters."""
        at = self._said.find(tag.encode("utf-8", "replace"), self._at)
        if at >= 0:
            self._likely = at + len(tag.encode("utf-8", "replace"))

    def _find(self, data: bytes) -> int:
        at = self._said.find(data, max(self._at, self._likely))
        return at if at >= 0 else self._said.find(data, self._at)

    def take(self, text: str) -> list[Entry]:
        """Return the tokens of the next piece of the text."""
        data = text.encode("utf-8", "replace")
        at = self._find(data)
        begin, end = (at, at + len(data)) if at >= 0 else (self._at, len(self._said) + 1)
        self._at = min(end, len(self._said))
        taken: list[Entry] = []
        while self._next < len(self._entries):
            first, last, entry = self._entries[self._next]
            if first >= end:
                break
            if last > begin or first >= begin:
                taken.append(entry)
            self._next += 1
        return taken


def in_words(logprobs: Any) -> list[Entry]:
    """Return the entries with words for tokens, where there are words."""
    return [_entry(given) for given in entries(logprobs)]


def entries(logprobs: Any) -> list[Any]:
    """Return the entries of chat log-probabilities that are one."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = content if isinstance(content, list) else []
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("token"), str)]


def number(given: Any) -> float:
    """Return a log-probability, whatever stands in its place."""
    return given if isinstance(given, int | float) and not isinstance(given, bool) else UNLIKELY


def _is_number(given: Entry) -> bool:
    return bool(given["token"].startswith(TOKEN_ID)) and _bytes(given) == given["token"].encode()


def _bytes(given: Entry) -> bytes:
    try:
        return (
            bytes(given["bytes"]) if isinstance(given.get("bytes"), list) else given["token"].encode("utf-8", "replace")
        )
    except (TypeError, ValueError):
        return bytes(given["token"].encode("utf-8", "replace"))


def _entry(given: Entry) -> Entry:
    """Return an entry as the API has it."""
    token = given["token"]
    if token.startswith(TOKEN_ID) and not _is_number(given):
        token = _bytes(given).decode("utf-8", "replace")
    others = given.get("top_logprobs")
    return {
        "token": token,
        "logprob": number(given.get("logprob")),
        "bytes": [*_bytes(given)],
        "top_logprobs": [
            {"token": other["token"], "logprob": number(other.get("logprob")), "bytes": [*_bytes(other)]}
            for other in entries({"content": others})
        ],
    }
