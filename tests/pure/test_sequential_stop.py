"""A conversation that ends in a thought is answered without an engine, if the profile says so."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.exchange import Exchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange
from tests.pure.conversations import HI, PLAIN, call, rs, said

STOPPING = ProfileSettings(name="p", engine_model="engine-model", sequential_reasoning_allowed=False)
INLINE = ProfileSettings(
    name="p", engine_model="engine-model", sequential_reasoning_allowed=False, uses_reasoning_parser=False
)
STAMP = Stamp("resp_1", 1, 2, lambda prefix: f"{prefix}_1")


def responses(given: Any, settings: ProfileSettings = STOPPING, **more: Any) -> ResponsesExchange:
    made = ResponsesExchange(msgspec.json.encode({"model": "p", "input": given, **more}))
    made.use(settings)
    return made


def chat(last: Any, settings: ProfileSettings = STOPPING, **more: Any) -> ChatExchange:
    made = ChatExchange(msgspec.json.encode({"model": "p", "messages": [HI, last], **more}))
    made.use(settings)
    return made


@pytest.mark.parametrize(
    ("made", "stops"),
    [
        (responses([HI, rs("t")]), True),
        (responses([HI, said("")]), True),
        (responses([HI, rs("t"), said("A")]), False),
        (responses([HI, rs("t"), call("c1")]), False),
        (responses([rs("t"), HI]), False),
        (responses([]), False),
        (responses("hi"), False),
        (responses([HI, rs("t")], PLAIN), False),
        (responses([HI, rs("t")], INLINE), False),
        (chat({"role": "assistant", "content": "<think>x</think>"}), True),
        (chat({"role": "assistant", "content": None, "reasoning": "x"}), True),
        (chat({"role": "assistant", "content": "x"}), False),
        (chat({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}), False),
        (chat(HI), False),
        (chat("no object"), False),
    ],
)
def test_only_a_thought_alone_stops(made: Exchange, stops: bool) -> None:
    found = made.without_engine(STAMP)
    assert (found is not None) is stops
    if found is not None:
        assert (found.status, found.cause, found.generation.finish_reason) == (
            "incomplete",
            "sequential_stop",
            "content_filter",
        )


def test_it_is_the_empty_answer_of_either_api() -> None:
    found = responses([HI, rs("t")]).without_engine(STAMP)
    assert found
    body = msgspec.json.decode(found.body)
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert body["output"][0]["content"][0]["text"] == ""
    assert body["usage"] is None
    found = chat({"role": "assistant", "content": ""}).without_engine(STAMP)
    assert found
    choice = msgspec.json.decode(found.body)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", None)


def test_streamed_it_is_all_of_the_stream() -> None:
    found = responses([HI, rs("t")], stream=True).without_engine(STAMP)
    assert found
    assert b"event: response.created" in found.body
    assert b"event: response.incomplete" in found.body
    assert b'"reason":"content_filter"' in found.body
    found = chat({"role": "assistant", "content": ""}, stream=True).without_engine(STAMP)
    assert found
    assert b'"finish_reason":"content_filter"' in found.body
