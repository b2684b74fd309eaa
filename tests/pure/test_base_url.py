"""A base URL has one form; whatever else is given is answered with it."""

import pytest

from endpoints.base_url import BaseUrlError, check


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://gpu-1:8000/v1", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/", "http://gpu-1:8000/v1"),
        (" https://host/prefix/v1 ", "https://host/prefix/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_good_url_is_kept_without_its_trailing_slash(given: str, kept: str) -> None:
    assert check(given) == kept


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ("http://gpu-1:8000", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/chat/completions", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/models", "http://gpu-1:8000/v1"),
        ("gpu-1:8000", "http://gpu-1:8000/v1"),
        ("http://user:secret@gpu-1:8000/v1", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1?key=1", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1#x", "http://gpu-1:8000/v1"),
        ("ftp://gpu-1:8000/v1", "http://gpu-1:8000/v1"),
        ("HTTP://gpu-1:8000/V1", "http://gpu-1:8000/v1"),
    ],
)
def test_a_wrong_url_is_answered_with_the_corrected_form(given: str, corrected: str) -> None:
    with pytest.raises(BaseUrlError) as caught:
        check(given)
    assert caught.value.corrected == corrected
    assert str(caught.value).endswith(f"Use {corrected}")
    assert check(corrected) == corrected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://",
        "javascript:alert(1)",
        "http://h h/v1",
        "http://host:99999/v1",
        "http://[::1/v1",
        "file:///v1",
        "http://h:0/v1",
    ],
)
def test_what_cannot_be_corrected_is_refused(given: str) -> None:
    with pytest.raises(BaseUrlError) as caught:
        check(given)
    assert caught.value.corrected == ""


def test_the_message_never_repeats_a_password() -> None:
    with pytest.raises(BaseUrlError) as caught:
        check("http://user:hunter2@gpu-1:8000")
    assert "hunter2" not in str(caught.value)
