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


def test_the_tags_are_what_the_profile_calls_them() -> None:
    tags = think.Tags("[THINK]", "[/THINK]")
    assert think.split("[THINK]a[/THINK]<think>b</think>", tags) == (["a"], "<think>b</think>")
    assert think.split("a[/THINK]b", tags) == (["a"], "b")
    assert think.split(think.wrap("a", tags), tags) == (["a"], "")


def test_parts_stand_in_their_order() -> None:
    assert think.parts("x<think>a</think>y<think></think>") == [(False, "x"), (True, "a"), (False, "y"), (True, "")]
    assert think.parts("a</think>b") == [(True, "a"), (False, "b")]
    assert think.parts("") == []


def test_no_character_is_lost_but_the_tags() -> None:
    for length in range(6):
        for pieces in product(("<think>", "</think>", "a", "b\n"), repeat=length):
            text = "".join(pieces)
            thoughts, rest = think.split(text)
            kept = "".join(thoughts).replace("<think>", "") + rest
            assert sorted(kept) == sorted(text.replace("<think>", "").replace("</think>", "")), text
            assert "</think>" not in rest
