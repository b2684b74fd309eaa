"""The readers refuse what is not clear, and the message says what to set."""

from pathlib import Path

import pytest

from controlplane.env import Reader, SettingError


def test_an_absent_or_empty_variable_is_its_default() -> None:
    reader = Reader({"B": "  "})
    assert (reader.text("A", "x"), reader.text("B", "y")) == ("x", "y")
    assert (reader.whole("C", 3, low=1, high=9), reader.flag("D"), reader.words("E")) == (3, False, [])


@pytest.mark.parametrize(("raw", "value"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_a_flag_is_true_or_false(raw: str, value: bool) -> None:
    assert Reader({"F": raw}).flag("F") is value


@pytest.mark.parametrize("raw", ["yes", "on", "t", "2"])
def test_an_unclear_flag_is_refused_by_name(raw: str) -> None:
    with pytest.raises(SettingError, match=r"^F="):
        Reader({"F": raw}).flag("F")


@pytest.mark.parametrize("raw", ["x", "0", "70000", "1.5", "nan", "inf"])
def test_a_number_out_of_range_is_refused_with_the_range(raw: str) -> None:
    with pytest.raises(SettingError, match="1 to 65535"):
        Reader({"PORT": raw}).whole("PORT", 8080, low=1, high=65535)


def test_words_are_trimmed_and_never_empty() -> None:
    assert Reader({"W": " a, ,b,"}).words("W") == ["a", "b"]


def test_a_path_is_absolute() -> None:
    assert Reader({"P": "x/../y"}).path("P", ".") == Path.cwd() / "y"


def test_every_name_that_was_read_is_remembered_with_its_default() -> None:
    reader = Reader({"A": "set"})
    reader.text("A", "x")
    reader.number("N", 2, low=1, high=3)
    assert reader.seen == {"A": "x", "N": "2"}
