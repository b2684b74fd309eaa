"""Which session a request belongs to."""

import pytest

from responses_api import affinity
from responses_api.affinity import Hints, SessionKey, find
from responses_api.errors import RequestError

SECRET = b"secret"


NEW = SessionKey("sess_new", fresh=True, is_named=False)


def cookie(key: str, secret: bytes = SECRET, opening: str = "") -> str:
    return affinity.set_cookie(key, opening, secret, secure=False).partition(";")[0]


def by_cookie(key: str) -> SessionKey:
    return SessionKey(key, is_named=False)


def found(**headers: str) -> SessionKey:
    return find(Hints({name.replace("_", "-"): value for name, value in headers.items()}, SECRET), lambda: "sess_new")


def test_a_cookie_counts_for_the_conversation_that_it_was_given_to() -> None:
    headers = {"cookie": cookie("sess_1", opening="first")}
    assert find(Hints(headers, SECRET, opening=lambda: "first"), lambda: "sess_new") == by_cookie("sess_1")
    assert find(Hints(headers, SECRET, opening=lambda: "other"), lambda: "sess_new") == NEW
    another = {"cookie": headers["cookie"].replace("first", "other")}
    assert find(Hints(another, SECRET, opening=lambda: "other"), lambda: "sess_new") == NEW


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, NEW),
        ({"x_session_id": "mine"}, SessionKey("mine")),
        ({"x_session_id": " mine "}, SessionKey("mine")),
        ({"x_session_id": "mine", "cookie": cookie("other")}, SessionKey("mine")),
        ({"session_id": "thread-1", "cookie": cookie("sess_1")}, SessionKey("thread-1")),
        ({"session_id": "x" * 201, "thread_id": "thread-1"}, SessionKey("thread-1")),
        ({"x_session_id": "mine", "thread_id": "thread-1"}, SessionKey("mine")),
        ({"cookie": cookie("sess_1")}, by_cookie("sess_1")),
        ({"cookie": f"a=b; {cookie('sess_1')}; c=d"}, by_cookie("sess_1")),
        ({"cookie": cookie("a.b")}, by_cookie("a.b")),
        ({"cookie": cookie("sess_1", b"another secret")}, NEW),
        ({"cookie": cookie("sess_1").replace("sess_1", "sess_2")}, NEW),
        ({"cookie": "roundhouse_session=sess_1"}, NEW),
        ({"cookie": "roundhouse_session="}, NEW),
        ({"cookie": "roundhouse_session=x.\xff"}, NEW),
        ({"cookie": ";;=;"}, NEW),
    ],
)
def test_the_first_source_that_knows_it_wins(headers: dict[str, str], expected: SessionKey) -> None:
    assert found(**headers) == expected


@pytest.mark.parametrize(
    ("headers", "said", "expected"),
    [
        ({}, ("sess_before", "cache", "run"), SessionKey("sess_before")),
        ({}, ("", "cache", "run"), SessionKey("cache")),
        ({}, ("", "", "run"), SessionKey("run")),
        ({"cookie": cookie("sess_1")}, ("", "", "run"), SessionKey("run")),
        ({"cookie": cookie("sess_1")}, ("", "", ""), by_cookie("sess_1")),
        ({"thread-id": "thread-1"}, ("sess_before", "cache", "run"), SessionKey("thread-1")),
        ({"x-session-id": "mine"}, ("sess_before", "cache", "run"), SessionKey("mine")),
    ],
)
def test_what_is_continued_and_what_the_body_says_come_before_the_cookie(
    headers: dict[str, str], said: tuple[str, str, str], expected: SessionKey
) -> None:
    assert find(Hints(headers, SECRET, *said), lambda: "sess_new") == expected


@pytest.mark.parametrize("text", ["x" * 201, "caf\xe9", "two\nlines", "\ud800"])
def test_a_text_that_cannot_be_a_key_has_one(text: str) -> None:
    first, second = (find(Hints({}, SECRET, "", *said), str).key for said in ((text, ""), ("", text)))
    assert first == second
    assert len(first) == 64
    assert first != find(Hints({}, SECRET, "", text + "."), str).key


@pytest.mark.parametrize("value", ["", "  ", "x" * 201, "tab\there", "caf\xe9", "nul\x00"])
def test_a_header_that_cannot_be_a_key_is_refused_by_name(value: str) -> None:
    with pytest.raises(RequestError) as caught:
        found(x_session_id=value)
    assert (caught.value.param, caught.value.status) == ("X-Session-ID", 400)


def test_the_cookie_is_for_the_api_alone() -> None:
    value = affinity.set_cookie("sess_1", "0f", SECRET, secure=False)
    assert value.startswith("roundhouse_session=sess_1.0f.")
    for attribute in ("Path=/v1", "HttpOnly", "SameSite=Lax"):
        assert f"; {attribute}" in value
    assert "Secure" not in value
    assert affinity.set_cookie("sess_1", "0f", SECRET, secure=True).endswith("; Secure")
