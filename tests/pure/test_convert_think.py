"""The rule for think tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "b ", "\n"]), max_size=12).map("".join))
def test_no_character_is_lost_but_the_tags(text: str) -> None:
    thoughts, rest = think.split(text)
    kept = sorted("".join(thoughts).replace("<think>", "") + rest)
    assert kept == sorted(text.replace("<think>", "").replace("</think>", ""))
    assert "</think>" not in rest
