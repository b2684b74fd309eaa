"""What a profile and a request decide about an answer, whole and streamed alike."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import BadAnswerError, ContextLengthError, EngineTimeoutError, ToldError
from responses_api.verdict import Cause, classify
from tests.contract.life import check_end, check_stream, read_events
from tests.contract.schemas import check_response
from tests.pure.streams import USAGE, call, chunk, exchange, said, stamp, streamed

Body = dict[str, Any]


def profile(**settings: Any) -> ProfileSettings:
    return ProfileSettings(name="p", engine_model="m", **settings)


def whole(settings: ProfileSettings, message: Body, finish: str | None = "stop", **fields: Any) -> Body:
    made = exchange(ResponsesExchange, settings, **{"stream": False, **fields})
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body: Body = msgspec.json.decode(
        made.answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), stamp()).body
    )
    check_response(body)
    check_end(body, body["status"])
    return body


def events(settings: ProfileSettings, *deltas: Body, finish: str | None = "stop", **fields: Any) -> list[Body]:
    stream = exchange(ResponsesExchange, settings, **fields).stream(stamp())
    found = read_events(stream.feed(said(*deltas, finish=finish)) + stream.finish(1001).body)
    check_stream(found)
    return found


def both(settings: ProfileSettings, message: Body, *deltas: Body, finish: str = "stop", **fields: Any) -> Body:
    """The resource of an answer, which is the same whole and streamed."""
    body = whole(settings, message, finish, **fields)
    assert events(settings, *deltas, finish=finish, **fields)[-1]["response"] == body
    return body


THOUGHTS = {
    "summary": {"summary": [{"type": "summary_text", "text": "hm"}]},
    "content": {"summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
    "both": {
        "summary": [{"type": "summary_text", "text": "hm"}],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    },
}


@pytest.mark.parametrize("shown_as", THOUGHTS)
def test_thoughts_stand_where_the_profile_shows_them(shown_as: str) -> None:
    settings = profile(reasoning_shown_as=shown_as)
    body = both(
        settings, {"reasoning": "hm", "content": "hi"}, {"reasoning": "h"}, {"reasoning": "m"}, {"content": "hi"}
    )
    assert body["output"][0] == {"id": "rs_1", "type": "reasoning", "status": "completed", **THOUGHTS[shown_as]}


def test_thoughts_can_be_told_twice() -> None:
    found = events(profile(reasoning_shown_as="both"), {"reasoning": "h"}, {"reasoning": "m"})
    assert [event["type"].removeprefix("response.") for event in found[2:-1]] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "content_part.added",
        "reasoning_summary_text.delta",
        "reasoning_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert found[2]["item"] == {
        "id": "rs_1",
        "type": "reasoning",
        "status": "in_progress",
        "summary": [],
        "content": [],
    }


def test_thoughts_stand_between_the_profiles_tags() -> None:
    settings = profile(think_start_tag="[THINK]", think_end_tag="[/THINK]")
    deltas = [{"content": piece} for piece in ("[TH", "INK]a[/TH", "INK]b <th", "ink>c</think>")]
    body = both(settings, {"content": "[THINK]a[/THINK]b <think>c</think>"}, *deltas)
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert body["output"][1]["content"][0]["text"] == "b <think>c</think>"


def test_length_can_be_an_ordinary_end() -> None:
    body = both(profile(length_is_completed=True), {"content": "x"}, {"content": "x"}, finish="length")
    assert (body["status"], body["incomplete_details"], body["completed_at"]) == ("completed", None, 1001)
    assert body["output"][0]["status"] == "completed"
    body = both(profile(length_is_completed=True), {"content": "x"}, {"content": "x"}, finish="content_filter")
    assert body["status"] == "incomplete"
    empty = msgspec.json.decode(
        exchange(settings=profile(length_is_completed=True), stream=False).empty_answer(stamp())
    )
    assert empty["status"] == "incomplete"


TOOLS = [{"type": "function", "name": name, "parameters": {}} for name in "fgh"]
CALLS = [
    {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}} for n, name in enumerate("fgh")
]
CALL_DELTAS = [call(n, id=f"c{n}", name=name, arguments="{}") for n, name in enumerate("fgh")]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["f", "g", "h"]),
        ({"max_tool_calls": 2}, ["f", "g"]),
        ({"tool_choice": "none"}, []),
        ({"max_tool_calls": 0}, []),
        ({"parallel_tool_calls": False}, ["f"]),
        ({"parallel_tool_calls": False, "max_tool_calls": 2}, ["f"]),
        ({"parallel_tool_calls": False, "max_tool_calls": 0}, []),
        ({"tool_choice": {"type": "function", "name": "h"}}, ["h"]),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}},
            ["g"],
        ),
    ],
)
def test_calls_that_the_request_forbids_never_leave(fields: Body, names: list[str]) -> None:
    body = both(profile(), {"tool_calls": CALLS}, *CALL_DELTAS, finish="tool_calls", tools=TOOLS, **fields)
    assert [item.get("name", "") for item in body["output"]] == (names or [""])


def test_an_answer_of_nothing_but_forbidden_calls_says_so() -> None:
    made = exchange(tools=TOOLS, tool_choice="none")
    stream = made.stream(stamp())
    stream.feed(said(*CALL_DELTAS))
    assert classify(stream.finish(1001).generation) is Cause.CALLS_FORBIDDEN


def test_parts_of_a_content_are_told_apart() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "h"}]},
        {"type": "thinking", "thinking": "m"},
        {"type": "text", "text": "hi"},
        {"type": "refusal", "refusal": "no"},
        {"type": "image"},
    ]
    body = both(profile(), {"content": content}, {"content": content})
    thought, message = body["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["hi", "no"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadAnswerError("x"), "server_error"),
        (EngineTimeoutError("x"), "server_error"),
        (ContextLengthError("x"), "context_length_exceeded"),
        (ToldError("x"), "server_error"),
        (ToldError("x", told_status=429), "rate_limit_exceeded"),
        (ToldError("x", told_status=400), "invalid_prompt"),
    ],
)
def test_a_failed_response_tells_why_in_a_code_that_clients_know(error: Any, code: str) -> None:
    stream = exchange().stream(stamp())
    found = read_events(stream.feed(streamed(chunk(content="kept"))) + stream.fail(error))
    check_stream(found)
    assert found[-1]["response"]["error"] == {"code": code, "message": "x"}


def test_an_answer_that_has_said_nothing_can_still_become_the_empty_one() -> None:
    stream = exchange().stream(stamp())
    sent = stream.feed(streamed(chunk(role="assistant", content="")))
    end = stream.emptied()
    assert end is not None
    found = read_events(sent + end)
    check_stream(found)
    assert found[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    stream = exchange().stream(stamp())
    stream.feed(streamed(chunk(content="x")))
    assert stream.emptied() is None
