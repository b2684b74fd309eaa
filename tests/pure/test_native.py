"""Requests for engines that speak Responses themselves: rows of tables."""

import json
from typing import Any

import pytest

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import RequestError
from tests.pure.streams import stamp

FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
SEARCH = {"type": "web_search"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}


def exchange(body: dict[str, Any], **settings: Any) -> ResponsesExchange:
    made = ResponsesExchange(json.dumps({"model": "p", "input": "hi", **body}).encode())
    made.use(ProfileSettings(name="p", engine_model="m", is_responses_native=True, **settings))
    return made


def sent(body: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return what the engine is sent."""
    return dict(json.loads(exchange(body, **settings).engine_body()))


@pytest.mark.parametrize("is_native", [False, True])
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id[-1].call_id"),
        ({"conversation": "conv_1"}, "conversation[-1].call_id"),
    ],
)
def test_an_item_of_the_past_that_cannot_be_told_is_named_as_the_request_names_it(
    body: dict[str, Any], place: str, *, is_native: bool
) -> None:
    made = ResponsesExchange(json.dumps({"model": "p", "input": "hi", **body}).encode())
    made.recall([{"role": "user", "content": "hi"}, OUTPUT], {})
    made.use(ProfileSettings(name="p", engine_model="m", is_responses_native=is_native))
    with pytest.raises(RequestError) as caught:
        made.engine_body()
    assert caught.value.param == place


BASE = {"model": "m", "input": "hi", "store": False}


@pytest.mark.parametrize(
    ("body", "settings", "found"),
    [
        ({}, {}, {}),
        ({"stream": True}, {}, {"stream": True}),
        ({"store": True, "metadata": {"a": "b"}, "user": "u"}, {}, {"metadata": {"a": "b"}, "user": "u"}),
        (
            {"temperature": 0.5},
            {"sampling_overrides": {"temperature": 1.0, "max_tokens": 7}},
            {
                "temperature": 1.0,
                "max_output_tokens": 7,
            },
        ),
        ({"temperature": None}, {"extra_body": {"temperature": 1.0, "top_k": 3}}, {"top_k": 3}),
        ({"max_output_tokens": 5}, {"extra_body": {"max_tokens": 9}}, {"max_output_tokens": 5}),
        ({}, {"extra_body": {"max_completion_tokens": 9}}, {"max_output_tokens": 9}),
        ({"tools": None, "tool_choice": None, "service_tier": None}, {}, {}),
        ({}, {"chat_template_kwargs": {"a": 1}}, {"chat_template_kwargs": {"a": 1}}),
        ({"tools": [FUNCTION, SEARCH]}, {"unrunnable_tools": "refuse"}, {"tools": [FUNCTION, SEARCH]}),
        (
            {
                "tools": [FUNCTION, {**FUNCTION, "name": "g"}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "g"}],
                },
            },
            {},
            {"tools": [{**FUNCTION, "name": "g"}], "tool_choice": "required"},
        ),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
            {},
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
        ),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION]}]},
            {},
            {"tools": [{**FUNCTION, "name": "n__f"}]},
        ),
    ],
)
def test_a_request_goes_nearly_as_it_came(body: dict[str, Any], settings: dict[str, Any], found: Any) -> None:
    assert sent(body, **settings) == {**BASE, **found}


def message(role: str, *parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [*parts]}


def out(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def thinking(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([USER], [USER]),
        ([message("assistant", out("a"), out("b"))], [message("assistant", out("ab"))]),
        ([message("assistant", {"type": "refusal", "refusal": "no"})], [message("assistant", out("no"))]),
        (
            [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}], "content": None}],
            [thinking("a")],
        ),
        (
            [{**thinking("a"), "encrypted_content": "sealed", "summary": [{"type": "summary_text", "text": "b"}]}],
            [thinking("a")],
        ),
        ([{"type": "reasoning", "id": "rs_1", "summary": []}], []),
        ([CALL, OUTPUT], [CALL, OUTPUT]),
        (
            [
                {
                    "type": "web_search_call",
                    "id": "ws_1",
                    "status": "completed",
                    "action": {"type": "search", "query": "q"},
                }
            ],
            [
                {
                    "type": "function_call",
                    "call_id": "ws_1",
                    "name": "web_search",
                    "arguments": '{"action":{"type":"search","query":"q"}}',
                },
                {"type": "function_call_output", "call_id": "ws_1", "output": "(no readable result)"},
            ],
        ),
    ],
)
def test_what_vllm_does_not_read_is_written_so_that_it_does(given: list[Any], found: list[Any]) -> None:
    assert sent({"input": given})["input"] == found


def test_earlier_turns_come_before_the_input() -> None:
    made = exchange({"input": "and?"})
    made.recall([USER, message("assistant", out("a"))], {})
    assert json.loads(made.engine_body())["input"] == [
        USER,
        message("assistant", out("a")),
        message("user", {"type": "input_text", "text": "and?"}),
    ]


def test_tools_that_items_hold_are_offered_with_the_others() -> None:
    held = [{**FUNCTION, "name": "g"}, SEARCH]
    body = sent(
        {"tools": [FUNCTION], "input": [USER, {"type": "additional_tools", "role": "developer", "tools": held}]}
    )
    assert body["input"] == [USER]
    assert [tool.get("name", tool["type"]) for tool in body["tools"]] == ["f", "g", "web_search"]


def test_reasoning_of_earlier_turns_may_be_forgotten() -> None:
    talk = [USER, thinking("a"), message("assistant", out("b")), USER, thinking("c"), CALL, OUTPUT]
    body = sent({"reasoning": {"effort": "low", "context": "current_turn", "mode": "standard"}, "input": talk})
    assert body["reasoning"] == {"effort": "low"}
    assert body["input"] == [item for item in talk if item != thinking("a")]


def test_reasoning_may_stay_here() -> None:
    assert sent({"input": [USER, thinking("a")]}, uses_interleaved_reasoning=False)["input"] == [USER]


@pytest.mark.parametrize(
    ("item", "param", "status"),
    [
        (OUTPUT, "input[0].call_id", 400),
        ({**OUTPUT, "call_id": ["c1"]}, "input[0].call_id", 400),
        ({"type": "item_reference", "id": "msg_1"}, "input[0].id", 404),
        ({"type": "reasoning", "summary": [], "encrypted_content": "x"}, "input[0].encrypted_content", 400),
        ({"type": "compaction", "encrypted_content": "x"}, "input[0].encrypted_content", 400),
        (message("assistant", {"type": "output_text", "text": 1}), "input[0].content", 400),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(item: dict[str, Any], param: str, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        sent({"input": [item]})
    assert (refused.value.param, refused.value.status) == (param, status)


def test_the_resource_shows_what_was_in_effect() -> None:
    made = exchange({"max_output_tokens": 5}, sampling_overrides={"temperature": 0.25})
    made.engine_body()
    head = made.head(stamp())
    assert (head["temperature"], head["max_output_tokens"], head["top_p"]) == (0.25, 5, 1.0)
