"""Streamed chat completions pass through, and are read on the way."""

from typing import Any

import msgspec
import pytest

from responses_api import sse
from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.streams import ChatStream
from responses_api.errors import BadAnswerError, BrokenOffError
from tests.pure.streams import USAGE, chunk, exchange, said, stamp, streamed


def stream(**request: Any) -> ChatStream:
    made = exchange(ChatExchange, **request).stream(stamp())
    assert isinstance(made, ChatStream)
    return made


def chunks(raw: bytes) -> list[Any]:
    *found, done = sse.Decoder().feed(raw)
    assert done.is_done
    return [msgspec.json.decode(event.data) for event in found]


def test_chunks_pass_under_our_id_and_model_and_the_last_ones_wait() -> None:
    made = stream()
    sent = made.feed(said({"reasoning": "h", "odd": 1}, {"content": "hello"}))
    assert b'"finish_reason":"stop"' not in sent
    end = made.finish(1001)
    found = chunks(sent + end.body)
    assert {(one["id"], one["model"]) for one in found} == {("resp_0", "p")}
    assert [one["choices"][0]["delta"] for one in found] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "h", "odd": 1},
        {"content": "hello"},
        {},
    ]
    assert all("usage" not in one for one in found)
    assert (end.status, end.generation.text, end.generation.thoughts) == ("completed", "hello", ["h"])
    assert end.generation.usage is not None
    assert end.generation.usage.output_tokens == 5


def test_the_usage_is_passed_on_if_it_was_asked_for() -> None:
    made = stream(stream_options={"include_usage": True})
    found = chunks(made.feed(said({"content": "a"})) + made.finish(1001).body)
    assert (found[-1]["choices"], found[-1]["usage"]) == ([], USAGE)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": False, "continuous_usage_stats": True}, None),
    ],
)
def test_the_engine_is_always_asked_for_the_usage(options: Any, sent: dict[str, Any] | None) -> None:
    body = msgspec.json.decode(exchange(ChatExchange, stream_options=options).engine_body())
    assert body["stream"] is True
    assert body["stream_options"] == (sent or {"include_usage": True, "continuous_usage_stats": True})


def test_of_several_completions_none_is_held_back_by_another_ones_end() -> None:
    made = stream(n=2)
    first = {**chunk("stop")["choices"][0]}
    second = {**chunk(content="b")["choices"][0], "index": 1}
    assert made.feed(streamed({"choices": [first]})) == b""
    assert len(made.feed(streamed({"choices": [second]})).split(b"\n\n")) == 3
    assert made.finish(1001).generation.text == ""


def test_an_error_is_a_chunk_and_what_was_held_back_is_not_sent() -> None:
    made = stream()
    made.feed(said({"content": "a"}))
    made.finish(1001)
    assert chunks(made.fail(BrokenOffError("It broke off."))) == [BrokenOffError("It broke off.").body()]
    assert made.still_going().startswith(b":")


def test_a_chunk_that_is_no_text_is_the_engines_error() -> None:
    made = stream()
    made.feed(b'data: {"choices": [], "odd": "\xff"}\n\n')
    assert isinstance(made.error, BadAnswerError)


def test_the_empty_answer_is_one_chunk() -> None:
    (only,) = chunks(exchange(ChatExchange).empty_answer(stamp()))
    assert (only["choices"][0]["finish_reason"], only["choices"][0]["delta"]["content"]) == ("length", None)
