"""Why a start failed, in plain words: the first cause in vLLM's log, and what to do about it. Pure.

A cause that nobody knows is shown as it is.
"""

import re

from launcher.log_lines import lines, without_prefix
from launcher.remedies import remedy

CAUSE_WINDOW = 400  # lines from the end: what a request of last week ran into is not why the engine died now
MAX_CAUSE = 400  # characters

_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::|$)")
_PLAIN_ERROR = re.compile(r"^(?:\S+: error: .+|/bin/sh: .+|exec: .+|.*: No module named .+)$")
# Said by the processes that were told, not by the one that knows.
_SECOND_HAND = re.compile(
    r"Engine core initialization failed|See root cause above|EngineDeadError|WorkerProc initialization failed"
    r"|Engine process failed to start|stack trace above for the root cause"
    r"|^SystemExit|^KeyboardInterrupt|^asyncio\.\S*CancelledError"
)
_VALIDATION = re.compile(r"\d+ validation errors? for \w+$")
# The message is the next line that says something.
_SAYS_MORE_BELOW = re.compile(r"(?:Client Error\.?(?: \(Request ID: [^)]*\))?|^(?:[\w.]+Error|RuntimeError):?)$")


def cause(log: str) -> str:
    """Return the first thing that went wrong, with what to do about it where that is known; "" if nothing did."""
    texts = [without_prefix(line) for line in lines(log)[-CAUSE_WINDOW:]]
    for index, text in enumerate(texts):
        if not (_EXCEPTION.match(text) or _PLAIN_ERROR.match(text)) or _SECOND_HAND.search(text):
            continue
        said, below = text.strip(), texts[index + 1].strip() if index + 1 < len(texts) else ""
        if _VALIDATION.search(said) and below:
            said = below.removeprefix("Value error, ")
        elif _SAYS_MORE_BELOW.search(said) and below:
            said = f"{said} {below}"
        said = said[:MAX_CAUSE]
        known = remedy(said)
        return f"{known} ({said})" if known else said
    return ""


def port_taken(log: str) -> bool:
    """Return whether a port was taken that the engine wanted."""
    return any("Address already in use" in line for line in lines(log)[-CAUSE_WINDOW:])
