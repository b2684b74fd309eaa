"""`<think>` in text. Pure.

The rule, which loses no character but the tags:

1. `<think>…</think>` is a thought, wherever it stands; text around it is joined without it.
2. A `<think>` that is never closed: all that follows is a thought (the answer was cut off while thinking).
3. A `</think>` that was never opened: all since the last closed thought is one (templates open it in the prompt).

Nothing is trimmed. Thoughts may be empty.
"""

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
