"""JSON that is nearly right: good bodies, harmed in a few places, and written as no JSON library would."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Path = tuple[Any, ...]

MANY = 700  # levels: more than a decoder that recurses takes for granted


class Raw(NamedTuple):
    """A piece of a body that is written as it is."""

    text: bytes


ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 2**53, 2**63, 2**64, -(10**30), 1e308, "", "x", [], {}, [[]], [{}]),
    *({"": {}}, {"type": None}, {"type": []}, {"type": "text"}, [None], ["x"], "\x00", "\ud800", "\udfff\ud800"),
    *("é\u2028\U0001f642", "long" * 500, "None", "{'a': 1}", "../..", "[DONE]", "data: x\n\n"),
    *(Raw(b"NaN"), Raw(b"-Infinity"), Raw(b"1e999"), Raw(b"1E-999"), Raw(b"-0"), Raw(b"01"), Raw(b"1" * 500)),
    *(Raw(b'"\xff"'), Raw(b'"\xc3"'), Raw(b'"\xed\xa0\x80"'), Raw(b'"\\u00"'), Raw(b'"\n"'), Raw(b"tru"), Raw(b"")),
    *(Raw(b"[" * MANY + b"]" * MANY), Raw(b'{"a":' * MANY + b"1" + b"}" * MANY), Raw(b"[" * MANY)),
]
odd = st.sampled_from(ODD)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars | odd, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def dump(value: Any) -> bytes:
    """Return the value as JSON, lone surrogates as escapes, and what is raw as it is."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return b"{" + b",".join(json.dumps(name).encode() + b":" + dump(one) for name, one in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(dump, value)) + b"]"
    return json.dumps(value).encode()


def paths(value: Any) -> list[Path]:
    """Return where all the values inside this one are."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for name, one in pairs for path in [(name,), *((name, *rest) for rest in paths(one))]]


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def _drop(holder: Any, name: Any, _draw: Draw, _whole: Any) -> None:
    del holder[name]


def _replace(holder: Any, name: Any, draw: Draw, _whole: Any) -> None:
    holder[name] = deepcopy(draw(odd))


def _invent(holder: Any, name: Any, draw: Draw, _whole: Any) -> None:
    holder[name] = deepcopy(draw(anything))


def _wrap(holder: Any, name: Any, draw: Draw, _whole: Any) -> None:
    holder[name] = [holder[name]] if draw(st.booleans()) else {"type": holder[name]}


def _repeat(holder: Any, name: Any, _draw: Draw, _whole: Any) -> None:
    """Say it twice: an element once more, or a member under the same name."""
    if isinstance(holder, list):
        holder.append(deepcopy(holder[name]))
    else:
        holder[name] = Raw(dump(holder[name]) + b"," + json.dumps(name).encode() + b":" + dump(holder[name]))


def _rename(holder: Any, name: Any, draw: Draw, _whole: Any) -> None:
    if isinstance(holder, dict):
        holder[draw(st.sampled_from(["type", "id", "", "x", "None", "\x00", "\ud800", "content", name]))] = holder[name]


def _transplant(holder: Any, name: Any, draw: Draw, whole: Any) -> None:
    holder[name] = deepcopy(_at(whole, draw(st.sampled_from(paths(whole)))))


HARMS = [_drop, _replace, _invent, _wrap, _repeat, _rename, _transplant]


@st.composite
def harmed(draw: Draw, bodies: st.SearchStrategy[Any], most: int = 3) -> bytes:
    """Return one of the bodies with so many harms at most, none of them perhaps."""
    body = deepcopy(draw(bodies))
    for _ in range(draw(st.integers(0, most))):
        if found := paths(body):
            *above, name = draw(st.sampled_from(found))
            draw(st.sampled_from(HARMS))(_at(body, tuple(above)), name, draw, body)
    return dump(body)


@st.composite
def spoiled(draw: Draw, texts: st.SearchStrategy[bytes]) -> bytes:
    """Return one of the texts, now and then cut off or with foreign bytes inside."""
    text: bytes = draw(texts)
    kind = draw(st.sampled_from(["whole"] * 6 + ["cut", "foreign"]))
    at = draw(st.integers(0, len(text))) if kind != "whole" else 0
    foreign: bytes = draw(st.binary(max_size=4)) if kind == "foreign" else b""
    return text[:at] if kind == "cut" else text[:at] + foreign + text[at:]
