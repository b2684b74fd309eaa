"""Which session a request belongs to."""

import pytest

from responses_api import affinity
from responses_api.affinity import Hints, SessionKey, find
from responses_api.errors import RequestError

SECRET = b"secret"


def cookie(key: str, secret: bytes = SECRET) -> str:
    return affinity.set_cookie(key, secret, secure=False).partition(";")[0]


def found(**headers: str) -> SessionKey:
    return find(Hints({name.replace("_", "-"): value for name, value in headers.items()}, SECRET), lambda: "sess_new")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, SessionKey("sess_new", fresh=True)),
        ({"x_session_id": "mine"}, SessionKey("mine")),
        ({"x_session_id": " mine "}, SessionKey("mine")),
        ({"x_session_id": "mine", "cookie": cookie("other")}, SessionKey("mine")),
        ({"cookie": cookie("sess_1")}, SessionKey("sess_1")),
        ({"cookie": f"a=b; {cookie('sess_1')}; c=d"}, SessionKey("sess_1")),
        ({"cookie": cookie("a.b")}, SessionKey("a.b")),
        ({"cookie": cookie("sess_1", b"another secret")}, SessionKey("sess_new", fresh=True)),
        ({"cookie": cookie("sess_1").replace("sess_1", "sess_2")}, SessionKey("sess_new", fresh=True)),
        ({"cookie": "roundhouse_session=sess_1"}, SessionKey("sess_new", fresh=True)),
        ({"cookie": "roundhouse_session="}, SessionKey("sess_new", fresh=True)),
        ({"cookie": "roundhouse_session=x.\xff"}, SessionKey("sess_new", fresh=True)),
        ({"cookie": ";;=;"}, SessionKey("sess_new", fresh=True)),
    ],
)
def test_the_first_source_that_knows_it_wins(headers: dict[str, str], expected: SessionKey) -> None:
    assert found(**headers) == expected


@pytest.mark.parametrize("value", ["", "  ", "x" * 201, "tab\there", "caf\xe9", "nul\x00"])
def test_a_header_that_cannot_be_a_key_is_refused_by_name(value: str) -> None:
    with pytest.raises(RequestError) as caught:
        found(x_session_id=value)
    assert (caught.value.param, caught.value.status) == ("X-Session-ID", 400)


def test_the_cookie_is_for_the_api_alone() -> None:
    value = affinity.set_cookie("sess_1", SECRET, secure=False)
    assert value.startswith("roundhouse_session=sess_1.")
    for attribute in ("Path=/v1", "HttpOnly", "SameSite=Lax"):
        assert f"; {attribute}" in value
    assert "Secure" not in value
    assert affinity.set_cookie("sess_1", SECRET, secure=True).endswith("; Secure")
