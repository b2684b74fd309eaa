"""Arbitrary requests about what is stored, in any order, and arbitrary messages over a WebSocket."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedError

from tests.fuzz import stories
from tests.fuzz.law import Law, slow_fuzz
from tests.fuzz.stories import Frame, Request
from tests.web.gateway_server import running
from tests.web.sockets import Socket, socket

pytestmark = pytest.mark.django_db(transaction=True)

NOT_UTF8 = 1007


@pytest.fixture
def law() -> Iterator[Law]:
    with running(engines=1, max_model_len=64) as site, site.client() as client:
        yield Law(site, client)


def _made(law: Law) -> dict[str, str]:
    """Make one of everything, and return the ids by the names that stories give them."""

    def post(path: str, **body: Any) -> Any:
        answer = law.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    response = post("/responses", model="tiny", input="hi")
    working = post("/responses", model="tiny", input="hi", background=True)
    message = {"role": "user", "content": "hi", "id": "said"}
    conversation = post("/conversations", items=[message, message, message])["id"]
    return {
        "$response": response["id"],
        "$working": working["id"],
        "$conversation": conversation,
        "$item": response["output"][0]["id"],
        "$said": "said",
    }


def _walk(law: Law, path: str) -> None:
    """Read a list to its end, a page at a time: no item comes twice."""
    for order in ("asc", "desc"):
        seen: list[str] = []
        has_more = True
        while has_more:
            after = f"&after={quote(seen[-1], safe='')}" if seen else ""
            answer = law.look("GET", f"{path}?limit=2&order={order}{after}")
            if answer.status_code == 404 and not seen:
                return  # it was deleted
            page = answer.json()
            seen += [item["id"] for item in page["data"]]
            has_more = page["has_more"]
        assert len({*seen}) == len(seen), seen


def test_any_story_of_what_is_stored_is_answered(law: Law) -> None:
    @slow_fuzz
    @given(st.lists(stories.requests(), min_size=1, max_size=5))
    def hold(story: list[Request]) -> None:
        law.client.cookies.clear()
        made = _made(law)
        for request in story:
            law.look(*request.about(made))
        _walk(law, f"/conversations/{made['$conversation']}/items")

    hold()


def test_any_message_over_a_socket_is_answered(law: Law) -> None:
    @slow_fuzz
    @given(st.lists(stories.frames, min_size=1, max_size=5), st.booleans())
    def hold(frames: list[Frame], sends_ahead: bool) -> None:
        for engine in law.site.engines:
            engine.requests.clear()
        with socket(law.site, compression=None) as line:
            if all(_is_utf8(frame.data) for frame in frames if frame.is_text):
                _talk(law, line, frames, sends_ahead=sends_ahead)
                return
            with pytest.raises(ConnectionClosedError) as caught:
                _talk(law, line, frames, sends_ahead=sends_ahead)
            # What was still on its way may have cost us the server's last word.
            assert caught.value.rcvd is None or caught.value.rcvd.code == NOT_UTF8

    hold()


def _talk(law: Law, line: Socket, frames: list[Frame], *, sends_ahead: bool) -> None:
    """Send the frames. Each has one answer, unless one is text that is none; then the connection is good for more."""
    last, waiting = "resp_0", 0
    for frame in frames:
        data = frame.data.replace(b"$last", last.encode())
        line.connection.send(data, text=frame.is_text)
        waiting += 1
        if not sends_ahead:
            last, waiting = _hear(law, line, data) or last, 0
    for _ in range(waiting):
        _hear(law, line, b"".join(frame.data for frame in frames))
    assert line.ask("hi")["status"] == "completed"


def _hear(law: Law, line: Socket, said: bytes) -> str | None:
    """Return the id of the turn's response, unless it was refused."""
    events = line.turn()
    if events[-1]["type"] == "error":
        law.check_error(events[0]["status"], {"param": None, **events[0]["error"]}, said, names_param=False)
        return None
    return str(events[-1]["response"]["id"])


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
