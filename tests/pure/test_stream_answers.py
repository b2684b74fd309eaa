"""Streamed answers: what is in the events, and that they end as an answer that is not streamed."""

from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from responses_api import sse
from responses_api.convert.answer import AnswerStream
from responses_api.convert.exchange import ChatExchange, Exchange, ResponsesExchange
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import BrokenOffError
from responses_api.verdict import classify
from tests.pure.streams import INLINE, PLAIN, USAGE, call, chunk, events_of, exchange, said, stamp, streamed


def events(raw: bytes, settings: ProfileSettings = PLAIN) -> list[dict[str, Any]]:
    stream = exchange().stream(settings, stamp())
    sent = stream.feed(raw)
    assert (stream.error, stream.said_all) == (None, True)
    return events_of(sent + stream.finish(1001).body)


def types(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def test_an_answer_that_thinks_speaks_and_calls() -> None:
    found = events(
        said(
            {"reasoning": "h"},
            {"reasoning": "m"},
            {"content": "he"},
            {"content": "llo"},
            call(0, id="call_7", type="function", name="weather", arguments=""),
            call(0, arguments='{"city"'),
            call(0, arguments=': "Oslo"}'),
        )
    )
    assert types(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in found] == [*range(len(found))]
    created, text, arguments, last = found[0]["response"], found[11], found[17], found[-1]["response"]
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert text == {
        "type": "response.output_text.delta",
        "sequence_number": 11,
        "item_id": "msg_1",
        "output_index": 1,
        "content_index": 0,
        "delta": "he",
        "logprobs": [],
    }
    assert found[16]["item"] == {
        "id": "fc_1",
        "type": "function_call",
        "status": "in_progress",
        "call_id": "call_7",
        "name": "weather",
        "arguments": "",
    }
    assert (arguments["item_id"], arguments["output_index"], arguments["delta"]) == ("fc_1", 2, '{"city"')
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call"]
    assert last["output"] == [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert last["usage"]["output_tokens"] == 5
    assert created.keys() == last.keys()


WEATHER = call(0, id="c1", name="f", arguments="{}")


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "abort", None])
@pytest.mark.parametrize(
    ("deltas", "message"),
    [
        ([], {}),
        ([{"content": "a"}, {"content": "b"}], {"content": "ab"}),
        ([{"reasoning": "a"}, {"reasoning": "b"}, {"content": "c"}], {"reasoning": "ab", "content": "c"}),
        ([{"reasoning_content": "a", "reasoning": "x"}], {"reasoning_content": "a"}),
        ([{"content": "<think>a</think>b"}], {"content": "<think>a</think>b"}),
        ([{"content": "<thi"}, {"content": "nk>a</"}, {"content": "think>b"}], {"content": "<think>a</think>b"}),
        ([{"content": "<think>a<think>b</think>c"}], {"content": "<think>a<think>b</think>c"}),
        ([{"content": "<think></think>a"}], {"content": "<think></think>a"}),
        ([{"content": "<think>a</think><think>b</think>c"}], {"content": "<think>a</think><think>b</think>c"}),
        ([{"content": "<think>a"}], {"content": "<think>a"}),
        ([{"content": "a <"}, {"content": "thin"}], {"content": "a <thin"}),
        ([{"reasoning": "a"}, {"content": "<think>b</think>c"}], {"reasoning": "a", "content": "<think>b</think>c"}),
        ([{"content": "a"}, {"refusal": "n"}, {"refusal": "o"}], {"content": "a", "refusal": "no"}),
        ([{"refusal": "no"}], {"refusal": "no"}),
        ([WEATHER], WEATHER),
        ([call(0, id="c1", name="f"), call(0)], call(0, id="c1", name="f")),
        ([call(0, id="c1", name="f", arguments={"a": 1})], call(0, id="c1", name="f", arguments={"a": 1})),
        ([call(0, name="f", arguments="{}")], call(0, name="f", arguments="{}")),
        ([{"function_call": {"name": "f"}}, {"function_call": {"arguments": "{}"}}], call(0, name="f", arguments="{}")),
        ([call(0, id="c1", arguments="{"), call(0, name="f", arguments="}")], WEATHER),
        ([call(0, id="c1", arguments="{}")], call(0, id="c1", arguments="{}")),
        ([{"content": "x <"}, WEATHER], {"content": "x <", **WEATHER}),
    ],
)
def test_the_end_is_the_answer_that_is_not_streamed(
    deltas: list[dict[str, Any]], message: dict[str, Any], finish: str | None
) -> None:
    stream = exchange().stream(PLAIN, stamp())
    sent = stream.feed(said(*deltas, finish=finish))
    end = stream.finish(1001)
    last = events_of(sent + end.body)[-1]
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish}
    whole = exchange().answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), PLAIN, stamp())
    assert last["response"] == msgspec.json.decode(whole.body)
    assert last["type"] == f"response.{whole.status}"
    assert (end.status, end.generation) == (whole.status, whole.generation)
    Response.model_validate(last["response"])


def test_a_thought_that_was_never_opened_stays_in_the_text_and_the_ledger_knows_it() -> None:
    stream = exchange().stream(PLAIN, stamp())
    stream.feed(said({"content": "reason</thi"}, {"content": "nk>"}))
    end = stream.finish(1001)
    (item,) = events_of(end.body)[-1]["response"]["output"]
    assert item["content"][0]["text"] == "reason</think>"
    assert classify(end.generation) == "reasoning_only"


def test_without_a_reasoning_parser_tags_are_text() -> None:
    (item,) = events(said({"content": "<think>a</think>b"}), INLINE)[-1]["response"]["output"]
    assert item["content"][0]["text"] == "<think>a</think>b"


def test_items_stand_in_the_order_in_which_they_began() -> None:
    output = events(said({"content": "x<think>a</think>y"}, WEATHER, {"content": "z"}))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "reasoning", "message", "function_call", "message"]


@pytest.mark.parametrize(
    "deltas",
    [
        [call(0, id="c1", name="f"), call(1, id="c2", name="g"), call(0, arguments="{}"), call(1, arguments="[]")],
        [call(0, id="c1", name="f", arguments="{}"), call(0, id="c2", name="g", arguments="[]")],
        [
            {"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
            {"tool_calls": [{"id": "c2", "function": {"name": "g", "arguments": "["}}]},
            {"tool_calls": [{"function": {"arguments": "]"}}]},
        ],
    ],
)
def test_parallel_calls_are_told_apart(deltas: list[dict[str, Any]]) -> None:
    output = events(said(*deltas, finish="tool_calls"))[-1]["response"]["output"]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in output] == [
        ("c1", "f", "{}"),
        ("c2", "g", "[]"),
    ]


def test_a_prompt_that_does_not_fit_has_the_same_empty_answer() -> None:
    found = events_of(exchange().empty_answer(PLAIN, stamp()))
    whole = msgspec.json.decode(exchange(stream=False).empty_answer(PLAIN, stamp()))
    assert found[-1] == {"type": "response.incomplete", "sequence_number": 7, "response": whole}
    assert "output_text.delta" not in types(found)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"data: <html>\n\n", "not a chat completion"),
        (streamed({"choices": [{"delta": {"content": {}}}]}), "not a chat completion"),
        (streamed({"error": {"message": "CUDA error"}}, b"[DONE]"), "CUDA error"),
        (streamed({"error": {}}), "does not say why"),
        (streamed(b"[DONE]"), "no choices"),
        (streamed({"choices": [], "usage": USAGE}, b"[DONE]"), "no choices"),
    ],
)
@pytest.mark.parametrize("kind", [ResponsesExchange, ChatExchange])
def test_what_an_engine_must_not_send_is_an_error_and_what_came_before_is_kept(
    raw: bytes, message: str, kind: type[Exchange]
) -> None:
    stream: AnswerStream = exchange(kind).stream(PLAIN, stamp())
    sent = stream.feed(streamed(chunk(content="kept"))) if b"choices" not in raw and message != "no choices" else b""
    sent += stream.feed(raw)
    assert stream.error is not None
    assert message in stream.error.message
    assert not stream.is_done
    end = stream.fail(stream.error)
    assert end.endswith(sse.DONE_FRAME)
    if kind is ResponsesExchange:
        last = events_of(sent + end)[-1]
        assert last["type"] == "response.failed"
        assert last["response"]["error"] == {"code": "server_error", "message": stream.error.message}
        Response.model_validate(last["response"])
    else:
        assert msgspec.json.decode(sse.Decoder().feed(end)[0].data) == stream.error.body()


def test_an_end_that_cannot_be_recorded_is_replaced() -> None:
    stream = exchange().stream(PLAIN, stamp())
    sent = stream.feed(said({"content": "hello"}))
    finished = events_of(sent + stream.finish(1001).body)
    failed = events_of(sent + stream.fail(BrokenOffError("The disk is full.")))
    assert failed[:-1] == finished[:-1]
    assert (failed[-1]["type"], failed[-1]["sequence_number"]) == ("response.failed", finished[-1]["sequence_number"])
    assert failed[-1]["response"]["output"][0]["content"][0]["text"] == "hello"
