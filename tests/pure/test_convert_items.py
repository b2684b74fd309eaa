"""Input items to the messages of a chat completion: one row a case."""

from typing import Any

import pytest

from responses_api.convert.profile import ProfileSettings
from responses_api.errors import RequestError
from tests.pure.conversations import (
    HI,
    INLINE,
    SYSTEM,
    assistant,
    call,
    chat_call,
    output,
    rs,
    said,
    sent,
    text_parts,
    tool,
)


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("hi", [{"role": "user", "content": text_parts("hi")}]),
        ([], []),
        ([HI], [HI]),
        ([{**HI, "type": "message"}], [HI]),
        ([{**HI, "type": None}], [HI]),
        ([{**HI, "extra": 1}], [HI]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}],
            [{"role": "user", "content": text_parts("a", "b")}],
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}],
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}}],
                }
            ],
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "data:,"}, "detail": "low"}]}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}}]}],
        ),
        # Roles stay as they are.
        ([{"role": "developer", "content": "D"}, HI], [{"role": "developer", "content": "D"}, HI]),
        ([HI, {"role": "system", "content": "S"}, HI], [HI, {"role": "system", "content": "S"}, HI]),
        # The assistant's side of a turn is one message.
        ([{"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}], [assistant("AB")]),
        ([said("a1", "a2")], [assistant("a1a2")]),
        ([said("")], [assistant(None)]),
        ([{"role": "assistant", "content": None}], [assistant(None)]),
        ([HI, said("A"), HI, said("B")], [HI, assistant("A"), HI, assistant("B")]),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}],
            [assistant("I will not.")],
        ),
        # Reasoning goes back as reasoning, all of it, in order.
        ([rs("t"), HI], [assistant("", "t"), HI]),
        ([rs("t1", "t2"), said("ans")], [assistant("ans", "t1\n\nt2")]),
        ([said("ans"), rs("t1")], [assistant("ans", "t1")]),
        ([rs(""), said("ans")], [assistant("ans")]),
        (
            [rs("t1"), said("ans"), rs("t2"), call("c1")],
            [assistant("ans", "t1\n\nt2", tool_calls=[chat_call("c1")])],
        ),
        (
            [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]}],
            [assistant("", "r")],
        ),
        ([{**rs("short"), "content": [{"type": "reasoning_text", "text": "long"}]}], [assistant("", "long")]),
        ([{**rs("t"), "encrypted_content": "gAAA"}], [assistant("", "t")]),
        ([rs("x</think>y"), said("z")], [assistant("z", "x</think>y")]),
        ([said("<think>x</think>  y")], [assistant("  y", "x")]),
        ([said("<think>x</think>y<think>z</think>w")], [assistant("yw", "x\n\nz")]),
        ([{"role": "user", "content": "<think>x</think>y"}], [{"role": "user", "content": "<think>x</think>y"}]),
        # Tool calls.
        (
            [HI, call("c1", "f", '{"a": 1}'), output("c1", "o")],
            [
                HI,
                assistant(None, tool_calls=[chat_call("c1", "f", '{"a": 1}')]),
                {"role": "tool", "tool_call_id": "c1", "content": "o"},
            ],
        ),
        (
            [call("c1"), call("c2"), output("c2"), output("c1")],
            [
                assistant(None, tool_calls=[chat_call("c1"), chat_call("c2")]),
                {"role": "tool", "tool_call_id": "c2", "content": "out"},
                {"role": "tool", "tool_call_id": "c1", "content": "out"},
            ],
        ),
        (
            [call("c1"), said("after"), output("c1", [{"type": "input_text", "text": "o"}])],
            [
                assistant("after", tool_calls=[chat_call("c1")]),
                {"role": "tool", "tool_call_id": "c1", "content": text_parts("o")},
            ],
        ),
        ([call("c1", "f", "not json")], [assistant(None, tool_calls=[chat_call("c1", "f", "not json")])]),
        (
            [rs("a"), call("c1"), output("c1"), rs("b"), call("c2"), output("c2")],
            [
                assistant("", "a", tool_calls=[chat_call("c1")]),
                {"role": "tool", "tool_call_id": "c1", "content": "out"},
                assistant("", "b", tool_calls=[chat_call("c2")]),
                {"role": "tool", "tool_call_id": "c2", "content": "out"},
            ],
        ),
    ],
)
def test_input_becomes_messages(given: Any, messages: list[dict[str, Any]]) -> None:
    assert sent(input=given)["messages"] == messages


@pytest.mark.parametrize(
    ("instructions", "given", "messages"),
    [
        ("I", [HI], [{"role": "system", "content": "I"}, HI]),
        ("", [HI], [HI]),
        (None, [HI], [HI]),
        (
            "I",
            [
                {"role": "developer", "content": "D"},
                {"role": "system", "content": [{"type": "input_text", "text": "S"}]},
                HI,
            ],
            [{"role": "system", "content": "I\n\nD\n\nS"}, HI],
        ),
        (
            "I",
            [HI, {"role": "system", "content": "S"}],
            [{"role": "system", "content": "I"}, HI, {"role": "system", "content": "S"}],
        ),
    ],
)
def test_instructions_take_in_the_leading_system_messages(
    instructions: str | None, given: Any, messages: list[dict[str, Any]]
) -> None:
    assert sent(input=given, instructions=instructions)["messages"] == messages


def test_a_profile_may_rename_the_developer() -> None:
    given = [{"role": "developer", "content": "D"}, HI, {"role": "developer", "content": "E"}]
    assert [message["role"] for message in sent(SYSTEM, input=given)["messages"]] == ["system", "user", "system"]


def test_without_a_reasoning_parser_thoughts_stay_in_the_text() -> None:
    given = [rs("t1", "t2"), said("ans<think>x</think>"), call("c1")]
    expected = "<think>t1</think><think>t2</think>ans<think>x</think>"
    assert sent(INLINE, input=given)["messages"] == [assistant(expected, tool_calls=[chat_call("c1")])]


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        # A leading run of two or more is one system message.
        (
            [{"role": "developer", "content": "D"}, {"role": "developer", "content": "E"}, HI],
            [{"role": "system", "content": "D\n\nE"}, HI],
        ),
        (
            [{"role": "system", "content": "S"}, HI, {"role": "system", "content": "T"}],
            [{"role": "system", "content": "S"}, HI, {"role": "system", "content": "T"}],
        ),
        # Turns in the shape of chat completions.
        (
            [
                {"role": "assistant", "content": None, "tool_calls": [chat_call("c1", "f", '{"a": 1}')]},
                {"role": "tool", "tool_call_id": "c1", "content": "o"},
            ],
            [
                assistant(None, tool_calls=[chat_call("c1", "f", '{"a": 1}')]),
                {"role": "tool", "tool_call_id": "c1", "content": "o"},
            ],
        ),
        (
            [{"role": "assistant", "content": "x", "reasoning": "t", "tool_calls": [chat_call("c1")]}],
            [assistant("x", "t", tool_calls=[chat_call("c1")])],
        ),
        (
            [call("c1"), {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "o"}]}],
            [
                assistant(None, tool_calls=[chat_call("c1")]),
                {"role": "tool", "tool_call_id": "c1", "content": text_parts("o")},
            ],
        ),
        # Calls of tools that have another name for the caller.
        ([{**call("c1"), "arguments": {"a": 1}}], [assistant(None, tool_calls=[chat_call("c1", "f", '{"a":1}')])]),
        ([{**call("c1"), "namespace": "ns"}], [assistant(None, tool_calls=[chat_call("c1", "ns__f")])]),
        (
            [
                {"type": "custom_tool_call", "call_id": "c1", "name": "p", "input": "a\n"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "o"},
            ],
            [
                assistant(None, tool_calls=[chat_call("c1", "p", '{"input":"a\\n"}')]),
                {"role": "tool", "tool_call_id": "c1", "content": "o"},
            ],
        ),
        ([call("c1"), output("c1", [])], [assistant(None, tool_calls=[chat_call("c1")]), tool("c1", [])]),
    ],
)
def test_every_way_to_write_a_turn_is_read(given: Any, messages: list[dict[str, Any]]) -> None:
    assert sent(input=given)["messages"] == messages


HISTORY = [rs("t"), said("<think>x</think>y"), call("c1")]
CALLS = [chat_call("c1")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, assistant("y", "t\n\nx", tool_calls=CALLS)),
        ({"uses_interleaved_reasoning": False}, assistant("y", tool_calls=CALLS)),
        (
            {"preserve_reasoning_in_assistant_content": True},
            assistant("<think>t</think><think>x</think>y", tool_calls=CALLS),
        ),
        ({"uses_reasoning_parser": False}, assistant("<think>t</think><think>x</think>y", tool_calls=CALLS)),
        (
            {"uses_reasoning_parser": False, "uses_interleaved_reasoning": False},
            assistant("<think>x</think>y", tool_calls=CALLS),
        ),
        (
            {"think_start_tag": "[T]", "think_end_tag": "[/T]"},
            assistant("<think>x</think>y", "t", tool_calls=CALLS),
        ),
        (
            {"think_start_tag": "[T]", "think_end_tag": "[/T]", "preserve_reasoning_in_assistant_content": True},
            assistant("[T]t[/T]<think>x</think>y", tool_calls=CALLS),
        ),
    ],
)
def test_a_profile_says_where_earlier_thoughts_stand(settings: dict[str, Any], message: dict[str, Any]) -> None:
    profile = ProfileSettings(name="p", engine_model="engine-model", **settings)
    assert sent(profile, input=HISTORY)["messages"] == [message]


def test_a_thought_that_quotes_a_tag_ends_where_it_ends() -> None:
    assert sent(INLINE, input=[rs("a</think>b<think>c"), said("d")])["messages"] == [
        assistant("<think>abc</think>d"),
    ]


def test_reasoning_alone_is_an_empty_message() -> None:
    silent = ProfileSettings(name="p", engine_model="engine-model", uses_interleaved_reasoning=False)
    assert sent(silent, input=[HI, rs("t")])["messages"] == [HI, assistant("")]


IDS: dict[str, Any] = {"prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.5]}
LATER: dict[str, Any] = {"prompt_token_ids": [4], "generation_token_ids": [], "generation_log_probs": []}


def test_token_ids_go_back_to_those_who_train() -> None:
    training = ProfileSettings(name="p", engine_model="engine-model", return_token_id_information=True)
    given = [{**rs("t"), **IDS}, {**said("A"), **LATER}, HI, said("B"), {**call("c1"), **IDS}]
    found = sent(training, input=given)["messages"]
    assert found == [assistant("A", "t", **LATER), HI, assistant("B", tool_calls=[chat_call("c1")], **IDS)]
    assert "prompt_token_ids" not in sent(input=given)["messages"][0]
    with pytest.raises(RequestError) as caught:
        sent(training, input=[{**said("A"), "prompt_token_ids": [1]}])
    assert caught.value.param == "input[0].generation_token_ids"


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ([HI, {"content": "x"}], "input[1].type", "missing_required_parameter"),
        ([{"type": ["message"], "role": "user"}], "input[0].type", "invalid_type"),
        ([{"type": "item_reference", "id": "msg_1"}], "input[0].id", "item_not_found"),
        ([{"type": "no_such_kind"}], "input[0].type", "invalid_value"),
        ([{"type": "program", "code": "x"}], "input[0].type", "unsupported_parameter"),
        ([{"type": "web_search_call"}], "input[0].id", "missing_required_parameter"),
        ([{"type": "mcp_call", "id": "c"}], "input[0].name", "missing_required_parameter"),
        ([{"role": "tool", "content": "x"}], "input[0].tool_call_id", "missing_required_parameter"),
        ([{"role": "tool", "content": "x", "tool_call_id": "c"}], "input[0].tool_call_id", "invalid_value"),
        ([{"role": "critic", "content": "x"}], "input[0].role", "invalid_value"),
        ([{"role": "user"}], "input[0].content", "missing_required_parameter"),
        ([{"role": "user", "content": 1}], "input[0].content", "invalid_type"),
        ([{"role": "user", "content": None}], "input[0].content", "invalid_type"),
        (
            [HI, HI, {"role": "user", "content": [{"type": "input_text", "text": 1}]}],
            "input[2].content[0].text",
            "invalid_type",
        ),
        ([output("c9")], "input[0].call_id", "invalid_value"),
        ([{"type": "custom_tool_call_output", "call_id": "c9", "output": ""}], "input[0].call_id", "invalid_value"),
        ([{"type": "function_call", "call_id": "c"}], "input[0].name", "missing_required_parameter"),
        (
            [{"role": "assistant", "content": "x", "tool_calls": [{"id": "c"}]}],
            "input[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        (
            [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}],
            "input[0].encrypted_content",
            "invalid_encrypted_content",
        ),
    ],
)
def test_items_that_cannot_be_read_are_refused_by_name(given: Any, param: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        sent(input=given)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("context", "thought"),
    [(None, "a\n\nb"), ("auto", "a\n\nb"), ("all_turns", "a\n\nb"), ("current_turn", "")],
)
def test_thoughts_of_earlier_turns_may_be_forgotten(context: str | None, thought: str) -> None:
    given = [HI, rs("a"), said("<think>b</think>x"), HI, rs("c"), call("c1"), output("c1"), rs("d")]
    body = sent(input=given, reasoning={"context": context})
    assert body["messages"] == [
        HI,
        assistant("x", thought),
        HI,
        assistant("", "c", tool_calls=[chat_call("c1")]),
        tool("c1", "out"),
        assistant("", "d"),
    ]
