"""API keys: long, recognisable by their beginning, stored as a hash."""

import pytest

from endpoints import keys


def test_a_key_is_its_prefix_and_all_of_the_randomness() -> None:
    assert keys.plaintext(bytes(range(24))) == "rh-" + bytes(range(24)).hex()


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="24"):
        keys.plaintext(b"short")


def test_the_digest_tells_nothing_and_what_is_shown_tells_little() -> None:
    key = keys.plaintext(b"x" * 24)
    assert key not in keys.digest(key)
    assert len(keys.digest(key)) == 64
    assert keys.shown(key) == key[:10] + "…"
