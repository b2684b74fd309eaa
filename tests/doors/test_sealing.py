"""The seal of what callers keep."""

import base64

import pytest

from responses_api.sealing import Sealing

SEALING = Sealing(b"secret")


@pytest.mark.parametrize("text", ["", "a summary", "\N{SNOWMAN} \x00 \N{GRINNING FACE}", "long " * 10_000])
def test_what_was_closed_opens_again(text: str) -> None:
    sealed = SEALING.of(1).close(text)
    assert sealed.isascii()
    assert SEALING.of(1).open(sealed) == text
    assert SEALING.of(1).close(text) != sealed


def test_a_lone_surrogate_does_no_harm() -> None:
    assert SEALING.of(1).open(SEALING.of(1).close("a\ud800b")) == "a?b"


def test_only_the_same_caller_of_the_same_server_opens_it() -> None:
    sealed = SEALING.of(1).close("a summary")
    for seal in (SEALING.of(2), SEALING.of(11), Sealing(b"another secret").of(1)):
        with pytest.raises(ValueError, match="not closed under this seal"):
            seal.open(sealed)


def test_nothing_of_it_can_be_changed() -> None:
    raw = base64.urlsafe_b64decode(SEALING.of(1).close("a summary"))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(ValueError, match=r"."):
            SEALING.of(1).open(base64.urlsafe_b64encode(changed).decode())


@pytest.mark.parametrize("nonsense", ["", "AQ==", "AQ", "AQAA", "é", "not base64", "AQ==\n", "a" * 15])
def test_nonsense_opens_as_nothing(nonsense: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SEALING.of(1).open(nonsense)
