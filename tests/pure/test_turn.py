"""Turns over a WebSocket, and what a connection remembers."""

import json
from typing import Any

import pytest

from responses_api.convert.framing import LINES, SSE
from responses_api.convert.turn import Memory, Past, TurnExchange
from responses_api.errors import RequestError

PAST = Past("resp_1", [{"role": "user", "content": "before"}], is_stored=False)


def turn(memory: Memory | None = None, *, may_say_stream: bool = False, **fields: Any) -> TurnExchange:
    message = {"type": "response.create", "model": "tiny", "input": "hi", **fields}
    return TurnExchange(json.dumps(message).encode(), memory or Memory(), may_say_stream=may_say_stream)


def test_a_turn_streams_whatever_it_says() -> None:
    assert turn().wants_stream
    assert turn(stream=None, background=None, generate=True).wants_stream
    assert turn(may_say_stream=True, stream=True).wants_stream


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "response.cancel"}, "type"),
        ({"type": None}, "type"),
        ({"stream": True}, "stream"),
        ({"stream": False}, "stream"),
        ({"stream_options": {}}, "stream_options"),
        ({"background": False}, "background"),
        ({"generate": 0}, "generate"),
        ({"model": None}, "model"),
    ],
)
def test_what_is_no_turn_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        turn(**fields)
    assert refused.value.param == param
    with pytest.raises(RequestError):
        turn(may_say_stream=True, **{**fields, "stream": False})


def test_a_connection_remembers_its_latest_response_until_a_turn_takes_it() -> None:
    memory = Memory()
    assert memory.take("resp_1") is None
    memory.keep(PAST)
    assert memory.take("resp_2") is None
    assert memory.take(None) is None
    assert memory.take("resp_1") == PAST
    assert memory.take("resp_1") is None
    memory.keep(PAST)
    memory.keep(Past("resp_2", [], is_stored=True))
    assert memory.take("resp_1") is None


def test_a_turn_goes_on_from_what_it_takes_and_a_malformed_one_takes_it_too() -> None:
    memory = Memory()
    memory.keep(PAST)
    following = turn(memory, previous_response_id="resp_1")
    assert following.references() is None
    past = following.ended({"id": "resp_2", "output": [{"type": "reasoning"}], "store": True})
    assert [item.get("type", "message") for item in past.items] == ["message", "message", "reasoning"]
    assert past.is_stored
    memory.keep(PAST)
    with pytest.raises(RequestError):
        turn(memory, previous_response_id="resp_1", stream=True)
    assert memory.take("resp_1") is None


def test_each_carrier_frames_events_its_own_way() -> None:
    assert SSE.event("a", b"{}") + SSE.done == b"event: a\ndata: {}\n\ndata: [DONE]\n\n"
    assert LINES.event("a", b"{}") + LINES.done == b"{}\n"
