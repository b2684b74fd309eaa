"""What vLLM's own parser takes, and which of an engine's arguments it would refuse. Pure.

`interpreters` asks the parser of an engine's interpreter once; here its answer is held against the arguments, so that a
misspelt one is refused where it is typed and not minutes later in a log.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from launcher.command import canonical

NEAR = 0.6  # difflib's ratio from which on two names are taken for the same one, misspelt
_HUMAN_NUMBER = re.compile(r"(?:\d+(?:\.\d+)?[kKmMgGtT]?|-1|auto)")


@dataclass(frozen=True)
class Flag:
    """One argument: `kind` is switch (on or not there), toggle (on or off), value or list; `type` as in TYPES."""

    kind: str
    type: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flags:
    """All arguments of one vLLM by name, with underscores. None: the interpreter takes whatever it is given."""

    version: str
    by_name: Mapping[str, Flag] | None
    parsers: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # tool_call_parser, reasoning_parser: their names


def read(said: Mapping[str, Any]) -> Flags:
    """Return what an interpreter said of its parser. Raises KeyError, TypeError or ValueError for anything else."""
    flags = said["flags"]
    by_name = None
    if flags is not None:
        by_name = {
            canonical(name): Flag(str(row["kind"]), str(row["type"]), tuple(map(str, row["choices"])))
            for name, row in flags.items()
        }
    parsers = {str(name): [str(each) for each in names] for name, names in said.get("parsers", {}).items()}
    return Flags(str(said["version"]), by_name, parsers)


def problems(kwargs: Mapping[str, Any], flags: Flags) -> list[str]:
    """Return what vLLM would refuse, each with the nearest valid name or the expected type; None is never passed on."""
    if flags.by_name is None:
        return []
    found = [_problem(name, value, flags) for name, value in kwargs.items() if value is not None]
    return [problem for problem in found if problem]


def _problem(name: str, value: Any, flags: Flags) -> str:
    head, dot, _ = canonical(name).partition(".")
    flag = (flags.by_name or {}).get(head)
    if flag is None:
        return f"{name} is no argument of vLLM {flags.version}{_nearest(head, [*(flags.by_name or {})])}"
    if dot:
        return "" if flag.type == "json" else f"{name}: {head} is no JSON object, so it has no key of its own."
    if flag.kind in {"switch", "toggle"}:
        return "" if isinstance(value, bool) else f"{name} is {_shown(value)}: write true or false."
    return _values_problem(name, value, flag) or _parser_problem(name, head, value, flags)


def _values_problem(name: str, value: Any, flag: Flag) -> str:
    listed = flag.kind == "list" and isinstance(value, list)
    for each in value if listed else [value]:
        expected, fits = TYPES.get(flag.type, TYPES[""])
        if not fits(each):
            return f"{name} is {_shown(each)}: vLLM expects {expected}."
        if flag.choices and _text(each) not in flag.choices:
            return f"{name} is {_shown(each)}: vLLM takes {', '.join(flag.choices)}."
    return ""


def _parser_problem(name: str, head: str, value: Any, flags: Flags) -> str:
    known = flags.parsers.get(head)
    if not known or not isinstance(value, str) or value in known:
        return ""
    return f"{name} is {_shown(value)}, which vLLM {flags.version} does not have{_nearest(value, known)}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=NEAR)
    return f"; did you mean {near[0]}?" if near else "."


def _whole(value: Any) -> bool:
    return (type(value) is int) or (isinstance(value, str) and value.lstrip("-").isdecimal())


def _number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return type(value) in {int, float}


def _human_number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, str) and _HUMAN_NUMBER.fullmatch(value) is not None)


def _json(value: Any) -> bool:
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return False
        return True
    return isinstance(value, dict | list)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


# What vLLM's parser makes of a text, and what may be written for it.
TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", _whole),
    "float": ("a number", _number),
    "human int": ('a whole number, or one such as "16k"', _human_number),
    "json": ("a JSON object or list", _json),
    "text": ("text", _plain),
    "": ("a value", lambda _value: True),
}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)
