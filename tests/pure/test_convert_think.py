"""The rule for think tags."""

from itertools import product

import pytest

from responses_api.convert import think


@pytest.mark.parametrize(
    ("text", "thoughts", "rest"),
    [
        ("hello", [], "hello"),
        ("", [], ""),
        ("<think>a</think>\n\nb", ["a"], "\n\nb"),
        ("<think>a</think>x<think>b</think>y", ["a", "b"], "xy"),
        ("x<think>a", ["a"], "x"),
        ("<think>", [""], ""),
        ("reason</think>answer", ["reason"], "answer"),
        ("</think>hi", [""], "hi"),
        ("<think>a<think>b</think>c</think>d", ["a<think>b", "c"], "d"),
        ("a</think>b<think>c", ["a", "c"], "b"),
        ("<THINK>a</THINK>b", [], "<THINK>a</THINK>b"),
    ],
)
def test_thoughts_are_taken_out(text: str, thoughts: list[str], rest: str) -> None:
    assert think.split(text) == (thoughts, rest)


def test_no_character_is_lost_but_the_tags() -> None:
    for length in range(6):
        for pieces in product(("<think>", "</think>", "a", "b\n"), repeat=length):
            text = "".join(pieces)
            thoughts, rest = think.split(text)
            kept = "".join(thoughts).replace("<think>", "") + rest
            assert sorted(kept) == sorted(text.replace("<think>", "").replace("</think>", "")), text
            assert "</think>" not in rest
