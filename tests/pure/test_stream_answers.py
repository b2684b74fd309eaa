"""Streamed answers: what is in the events, and that they end as an answer that is not streamed."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from responses_api import sse
from responses_api.convert.answer import AnswerStream
from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.exchange import Exchange
from responses_api.convert.generation import by_kind
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import BrokenOffError
from responses_api.verdict import classify
from tests.contract.life import check_life, check_stream, read_events
from tests.pure.streams import INLINE, PLAIN, USAGE, call, chunk, exchange, said, stamp, streamed


def events(raw: bytes, settings: ProfileSettings = PLAIN) -> list[dict[str, Any]]:
    stream = exchange(settings=settings).stream(stamp())
    sent = stream.feed(raw)
    assert (stream.error, stream.said_all) == (None, True)
    found = read_events(sent + stream.finish(1001).body)
    check_stream(found)
    return found


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
    stream = exchange().stream(stamp())
    sent = stream.feed(said(*deltas, finish=finish))
    end = stream.finish(1001)
    found = read_events(sent + end.body)
    (check_stream if finish == "stop" else check_life)(found)
    last = found[-1]
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish}
    whole = exchange().answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), stamp())
    assert last["response"] == msgspec.json.decode(whole.body)
    assert last["type"] == f"response.{whole.status}"
    assert (end.status, end.generation) == (whole.status, whole.generation)


def test_a_thought_that_was_never_opened_stays_in_the_text_and_the_ledger_knows_it() -> None:
    stream = exchange().stream(stamp())
    stream.feed(said({"content": "reason</thi"}, {"content": "nk>"}))
    end = stream.finish(1001)
    (item,) = read_events(end.body)[-1]["response"]["output"]
    assert item["content"][0]["text"] == "reason</think>"
    assert classify(end.generation) == "reasoning_only"


OPENED = ProfileSettings(name="p", engine_model="e", begins_in_thought=True)


@pytest.mark.parametrize(
    ("deltas", "thoughts", "text"),
    [
        (["hm", "m</thi", "nk>hi"], ["hmm"], "hi"),
        (["<thi", "nk>hm</think>hi"], ["hm"], "hi"),
        (["</think>", "hi"], [""], "hi"),
        (["hm"], ["hm"], ""),
        (["<thi"], ["<thi"], ""),
        (["hm</think>a<think>b</think>"], ["hm", "b"], "a"),
        ([], [], ""),
    ],
)
def test_an_answer_may_begin_inside_a_thought(deltas: list[str], thoughts: list[str], text: str) -> None:
    stream = exchange(settings=OPENED).stream(stamp())
    sent = stream.feed(said(*({"content": delta} for delta in deltas)))
    end = stream.finish(1001)
    check_stream(read_events(sent + end.body))
    assert (end.generation.thoughts, end.generation.text) == (thoughts, text)
    choice = {"message": {"content": "".join(deltas)}, "finish_reason": "stop"}
    whole = exchange(settings=OPENED).answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), stamp())
    assert whole.generation == replace(end.generation, said=by_kind(end.generation.said))


def test_an_engine_that_tells_its_thoughts_begins_in_none() -> None:
    output = events(said({"reasoning": "hm"}, {"content": "hi"}), OPENED)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]


def test_without_a_reasoning_parser_tags_are_text() -> None:
    (item,) = events(said({"content": "<think>a</think>b"}), INLINE)[-1]["response"]["output"]
    assert item["content"][0]["text"] == "<think>a</think>b"


def test_items_of_a_stream_stand_in_the_order_in_which_they_began() -> None:
    output = events(said({"content": "x<think>a</think>y"}, WEATHER, {"content": "z"}))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "reasoning", "message", "function_call", "message"]
    choice = {"message": {"content": "x<think>a</think>yz", **WEATHER}, "finish_reason": "tool_calls"}
    whole = exchange().answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), stamp())
    output = msgspec.json.decode(whole.body)["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]
    assert output[1]["content"][0]["text"] == "xyz"


@pytest.mark.parametrize(
    "deltas",
    [
        [call(0, id="c1", name="f"), call(1, id="c2", name="g"), call(0, arguments="{}"), call(1, arguments="[]")],
        [call(0, id="c1", name="f", arguments="{}"), call(0, id="c2", name="g", arguments="[]")],
        [
            {"tool_calls": [{"index": 0, "id": "c1"}, {"index": 0, "function": {"name": "f", "arguments": "{}"}}]},
            {
                "tool_calls": [
                    {"index": 1, "id": "c2", "function": {"name": "g", "arguments": "["}},
                    {"index": 1, "function": {"arguments": "]"}},
                ]
            },
        ],
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


def test_calls_that_come_whole_without_a_number_or_an_id_are_told_apart() -> None:
    first, second = ({"tool_calls": [{"function": {"name": "f", "arguments": text}}]} for text in ("{}", '{"a": 1}'))
    for deltas in ([first, second], [first, {"content": "x"}, second]):
        output = events(said(*deltas, finish="tool_calls"))[-1]["response"]["output"]
        calls = [item for item in output if item["type"] == "function_call"]
        assert [item["arguments"] for item in calls] == ["{}", '{"a": 1}']
        assert len({item["call_id"] for item in calls}) == 2
    repeated = {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}
    (only,) = events(said(first, repeated, finish="tool_calls"))[-1]["response"]["output"]
    assert only["arguments"] == "{}"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"data:\n\n", None),
        (b"data: \n\n", None),
        (b'event: error\ndata: {"message": "boom"}\n\n', "boom"),
        (b'event: error\ndata: {"error": {"message": "boom", "code": 500}}\n\n', "boom"),
        (b"event: error\ndata: boom\n\n", "boom"),
    ],
)
def test_a_heartbeat_is_nothing_and_an_event_called_error_is_one(frame: bytes, error: str | None) -> None:
    stream = exchange().stream(stamp())
    stream.feed(streamed(chunk(content="a")) + frame)
    assert (stream.error and stream.error.message) == error
    if error is None:
        stream.feed(streamed(chunk("stop"), b"[DONE]"))
        assert (stream.error, stream.said_all) == (None, True)


def test_calls_of_one_id_get_two() -> None:
    calls = [{"id": "c1", "function": {"name": name, "arguments": "{}"}} for name in "fg"]
    pieces = [{"tool_calls": [{**one, "index": index}]} for index, one in enumerate(calls)]
    output = events(said(*pieces, finish="tool_calls"))[-1]["response"]["output"]
    assert [(item["call_id"], item["name"]) for item in output] == [("c1", "f"), ("call_1", "g")]
    choice = {"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    whole = exchange().answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), stamp())
    assert msgspec.json.decode(whole.body)["output"] == output


@pytest.mark.parametrize("kind", [ResponsesExchange, ChatExchange])
@pytest.mark.parametrize("settings", [PLAIN, replace(PLAIN, return_token_id_information=True)])
def test_null_says_the_same_as_nothing(kind: type[Exchange], settings: ProfileSettings) -> None:
    stream = exchange(kind, settings, stream_options={}).stream(stamp())
    piece = chunk(content="hello", tool_calls=None)
    piece["choices"][0] |= {"index": None, "logprobs": None}
    sent = stream.feed(streamed(piece, chunk("stop"), {"choices": None, "usage": USAGE}, {"usage": USAGE}, b"[DONE]"))
    assert (stream.error, stream.said_all) == (None, True)
    assert b"hello" in sent
    assert b'"choices":null' not in sent


def lives(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """When which item begins and ends."""
    return [
        (event["type"].rpartition(".")[2], event["output_index"])
        for event in found
        if event["type"].startswith("response.output_item.")
    ]


FIRST, SECOND = call(0, id="c1", name="f", arguments='{"a"'), call(1, id="c2", name="g", arguments="[]")


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([FIRST, call(0, arguments=": 1}"), SECOND], [("added", 0), ("done", 0), ("added", 1), ("done", 1)]),
        ([FIRST, SECOND, call(0, arguments=": 1}")], [("added", 0), ("added", 1), ("done", 0), ("done", 1)]),
        ([call(0, id="c1", name="f"), SECOND], [("added", 0), ("added", 1), ("done", 0), ("done", 1)]),
        ([WEATHER, {"content": "x"}], [("added", 0), ("done", 0), ("added", 1), ("done", 1)]),
        ([WEATHER, SECOND, call(0, arguments="{}")], [("added", 0), ("done", 0), ("added", 1), ("done", 1)]),
    ],
)
def test_a_call_ends_when_the_next_item_begins_unless_it_is_not_complete(
    deltas: list[dict[str, Any]], expected: list[tuple[str, int]]
) -> None:
    assert lives(events(said(*deltas, finish="tool_calls"))) == expected


def test_a_prompt_that_does_not_fit_has_the_same_empty_answer() -> None:
    found = read_events(exchange().empty_answer(stamp()))
    check_stream(found)
    whole = msgspec.json.decode(exchange(stream=False).empty_answer(stamp()))
    assert found[-1] == {"type": "response.incomplete", "sequence_number": 7, "response": whole}
    assert "output_text.delta" not in types(found)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"data: <html>\n\n", "not a chat completion"),
        (streamed({"choices": [{"delta": {"content": {}}}]}), "not a chat completion"),
        (streamed({"error": {"message": "CUDA error"}}, b"[DONE]"), "CUDA error"),
        (streamed({"object": "error", "message": "CUDA error", "code": 500}, b"[DONE]"), "CUDA error"),
        (streamed({"error": {}}), "does not say why"),
        (streamed(b"[DONE]"), "no choices"),
        (streamed({"choices": [], "usage": USAGE}, b"[DONE]"), "no choices"),
    ],
)
@pytest.mark.parametrize("kind", [ResponsesExchange, ChatExchange])
def test_what_an_engine_must_not_send_is_an_error_and_what_came_before_is_kept(
    raw: bytes, message: str, kind: type[Exchange]
) -> None:
    stream: AnswerStream = exchange(kind).stream(stamp())
    sent = stream.feed(streamed(chunk(content="kept"))) if b"choices" not in raw and message != "no choices" else b""
    sent += stream.feed(raw)
    assert stream.error is not None
    assert message in stream.error.message
    assert not stream.is_done
    end = stream.fail(stream.error)
    assert end.endswith(sse.DONE_FRAME)
    if kind is ResponsesExchange:
        found = read_events(sent + end)
        check_stream(found)
        last = found[-1]
        assert last["type"] == "response.failed"
        assert last["response"]["error"] == {"code": "server_error", "message": stream.error.message}
    else:
        assert msgspec.json.decode(sse.Decoder().feed(end)[0].data) == stream.error.body()


def test_an_end_that_cannot_be_recorded_is_replaced() -> None:
    stream = exchange().stream(stamp())
    sent = stream.feed(said({"content": "hello"}))
    finished = read_events(sent + stream.finish(1001).body)
    failed = read_events(sent + stream.fail(BrokenOffError("The disk is full.")))
    assert failed[:-1] == finished[:-1]
    assert (failed[-1]["type"], failed[-1]["sequence_number"]) == ("response.failed", finished[-1]["sequence_number"])
    assert failed[-1]["response"]["output"][0]["content"][0]["text"] == "hello"
