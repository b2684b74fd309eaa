"""Thoughts under seal: for callers who have nothing stored, and send back no others."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.convert.seal import close_thoughts
from responses_api.errors import RequestError
from tests.contract.life import check_stream, read_events
from tests.pure.conversations import HI, assistant, rs
from tests.pure.streams import said, stamp

SUMMARY = ProfileSettings(name="p", engine_model="m")
CONTENT = ProfileSettings(name="p", engine_model="m", reasoning_shown_as="content")
NATIVE = ProfileSettings(name="p", engine_model="m", is_responses_native=True)
THOUGHT = {"reasoning": "h", "content": "<think>m</think>hi"}


class Named:
    """A seal that is no secret, but somebody's."""

    def __init__(self, name: str = "mine") -> None:
        self._name = name

    def close(self, text: str) -> str:
        return f"{self._name}:{text}"

    def open(self, sealed: str) -> str:
        name, colon, text = sealed.partition(":")
        if not colon or name != self._name:
            raise ValueError
        return text


def made(settings: ProfileSettings = SUMMARY, **fields: Any) -> ResponsesExchange:
    exchange = ResponsesExchange(msgspec.json.encode({"model": "p", "input": "hi", **fields}))
    exchange.seal = Named()
    exchange.use(settings)
    return exchange


def whole(settings: ProfileSettings, **fields: Any) -> Any:
    exchange = made(settings, **fields)
    exchange.engine_body()
    raw = msgspec.json.encode({"choices": [{"message": THOUGHT, "finish_reason": "stop"}]})
    return msgspec.json.decode(exchange.answer(raw, stamp()).body)["output"]


@pytest.mark.parametrize("settings", [SUMMARY, CONTENT])
def test_they_come_beside_those_in_the_clear_whole_and_streamed(settings: ProfileSettings) -> None:
    asked = {"include": ["reasoning.encrypted_content"]}
    plain, sealed = whole(settings), whole(settings, **asked)
    assert "encrypted_content" not in plain[0]
    assert sealed == [{**plain[0], "encrypted_content": 'mine:["h","m"]'}, *plain[1:]]
    exchange = made(settings, stream=True, **asked)
    exchange.engine_body()
    stream = exchange.stream(stamp())
    found = read_events(stream.feed(said({"reasoning": "h"}, {"content": THOUGHT["content"]})) + stream.finish(1).body)
    check_stream(found)
    assert found[-1]["response"]["output"] == sealed
    assert "encrypted_content" not in found[2]["item"]


SEALED = close_thoughts(Named(), ["a", "b"])
OTHERS = close_thoughts(Named("other"), ["a"])


@pytest.mark.parametrize(
    ("item", "thought"),
    [
        ({**rs(), "encrypted_content": SEALED}, "a\n\nb"),
        ({**rs("changed"), "encrypted_content": SEALED}, "a\n\nb"),
        ({**rs("x"), "content": [{"type": "reasoning_text", "text": "c"}], "encrypted_content": SEALED}, "c"),
        ({**rs("x"), "encrypted_content": OTHERS}, "x"),
        ({**rs("x"), "encrypted_content": "gAAA"}, "x"),
        ({**rs("x"), "encrypted_content": None}, "x"),
        ({**rs("x"), "encrypted_content": ""}, "x"),
        ({**rs(), "encrypted_content": close_thoughts(Named(), [])}, ""),
    ],
)
def test_they_are_read_when_they_come_back(item: dict[str, Any], thought: str) -> None:
    said_again = [item, {"role": "assistant", "content": "hi"}, HI]
    messages = msgspec.json.decode(made(input=said_again).engine_body())["messages"]
    assert messages[0] == assistant("hi", thought)
    items = msgspec.json.decode(made(NATIVE, input=said_again).engine_body())["input"]
    assert [part["text"] for one in items if one.get("type") == "reasoning" for part in one["content"]] == (
        [thought] if thought else []
    )


@pytest.mark.parametrize("sealed", [OTHERS, "gAAA", "mine:", "mine:a summary", "mine:{}", "mine:[1]"])
@pytest.mark.parametrize("settings", [SUMMARY, NATIVE])
def test_what_nobody_here_sealed_is_refused_if_there_is_nothing_else(sealed: str, settings: ProfileSettings) -> None:
    with pytest.raises(RequestError) as caught:
        made(settings, input=[{**rs(), "encrypted_content": sealed}, HI]).engine_body()
    assert (caught.value.param, caught.value.code) == ("input[0].encrypted_content", "invalid_encrypted_content")
