"""The checks see what they are there to see: a good body passes, and each small harm to it is found."""

from copy import deepcopy
from typing import Any

import pytest

from tests.contract.life import check_end, check_stream, read_chunks, read_events
from tests.contract.schemas import ContractError, check_compaction, check_error, check_event, check_response

Body = dict[str, Any]

TEXT = {"type": "output_text", "text": "hello", "annotations": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
CALL = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c", "name": "f", "arguments": "{}"}
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 3,
}
RESPONSE: Body = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1000,
    "completed_at": 1001,
    "status": "completed",
    "incomplete_details": None,
    "model": "m",
    "previous_response_id": None,
    "instructions": None,
    "output": [MESSAGE, CALL],
    "error": None,
    "tools": [{"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "temperature": 1.0,
    "reasoning": {"effort": "minimal", "summary": None},
    "usage": USAGE,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": False,
    "background": False,
    "service_tier": "default",
    "metadata": {},
    "safety_identifier": None,
    "prompt_cache_key": None,
}
BEGUN = {**RESPONSE, "status": "in_progress", "completed_at": None, "output": [], "usage": None}


def place(**fields: Any) -> Body:
    return {"item_id": "msg_1", "output_index": 0, "content_index": 0, **fields}


def numbered(*events: tuple[str, Body]) -> list[Body]:
    return [{"type": f"response.{kind}", "sequence_number": n, **body} for n, (kind, body) in enumerate(events)]


STREAM = numbered(
    ("created", {"response": BEGUN}),
    ("in_progress", {"response": BEGUN}),
    ("output_item.added", {"output_index": 0, "item": {**MESSAGE, "status": "in_progress", "content": []}}),
    ("content_part.added", place(part={**TEXT, "text": ""})),
    ("output_text.delta", place(delta="hel", logprobs=[])),
    ("output_text.delta", place(delta="lo", logprobs=[])),
    ("output_text.done", place(text="hello", logprobs=[])),
    ("content_part.done", place(part=TEXT)),
    ("output_item.done", {"output_index": 0, "item": MESSAGE}),
    ("output_item.added", {"output_index": 1, "item": {**CALL, "status": "in_progress", "arguments": ""}}),
    ("function_call_arguments.delta", {"item_id": "fc_1", "output_index": 1, "delta": "{}"}),
    ("function_call_arguments.done", {"item_id": "fc_1", "output_index": 1, "name": "f", "arguments": "{}"}),
    ("output_item.done", {"output_index": 1, "item": CALL}),
    ("completed", {"response": RESPONSE}),
)


def test_a_good_response_passes() -> None:
    check_response(RESPONSE)
    check_end(RESPONSE, "completed")


@pytest.mark.parametrize("name", RESPONSE)
def test_every_field_of_a_response_must_be_there(name: str) -> None:
    with pytest.raises(ContractError, match=name):
        check_response({key: value for key, value in RESPONSE.items() if key != name})


SCHEMA = {"type": "json_schema", "name": "s", "description": None, "schema": {"type": "object"}, "strict": False}


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        ("created_at", 1000.0, False),
        ("temperature", None, False),
        ("status", "done", False),
        ("metadata", None, True),
        ("tool_choice", {"type": "function", "name": "f"}, True),
        ("tool_choice", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}, True),
        ("tool_choice", "any", False),
        ("text", {"format": SCHEMA}, True),
        ("text", {"format": {**SCHEMA, "strict": None}}, False),
        ("text", {"format": {"type": "text"}, "verbosity": None}, False),
        ("reasoning", None, True),
        ("reasoning", {"effort": "low"}, False),
        ("output", [{**MESSAGE, "content": [{**TEXT, "logprobs": None}]}], False),
        ("output", [{**MESSAGE, "status": "failed"}], False),
        ("output", [{"id": "rs_1", "type": "reasoning", "summary": [], "content": None}], False),
        ("output", [{"id": "rs_1", "type": "reasoning", "summary": []}], True),
        ("output", [{"id": "ws_1", "type": "web_search_call", "status": "completed"}], False),
        ("usage", {**USAGE, "total_tokens": "3"}, False),
        ("error", {"code": "server_error"}, False),
        ("error", {"code": "our_own", "message": "x"}, False),
    ],
)
def test_every_value_of_a_response_is_looked_at(field: str, value: Any, good: bool) -> None:
    if good:
        check_response({**RESPONSE, field: value})
    else:
        with pytest.raises(ContractError):
            check_response({**RESPONSE, field: value})


def test_a_good_stream_passes() -> None:
    check_stream(STREAM)


@pytest.mark.parametrize("number", range(len(STREAM)))
def test_every_event_of_a_stream_is_needed(number: int) -> None:
    left = [event for event in STREAM if event["sequence_number"] != number]
    with pytest.raises(ContractError):
        check_stream([{**event, "sequence_number": n} for n, event in enumerate(left)])


def test_events_that_are_nobodys_are_refused() -> None:
    for kind in ("response.reasoning_part.added", "ping", "slug:custom", None):
        with pytest.raises(ContractError, match="no event"):
            check_event({"type": kind, "sequence_number": 0})
    with pytest.raises(ContractError):  # OpenAI's own shape
        check_event({"type": "error", "sequence_number": 0, "code": None, "message": "x", "param": None})
    check_event(
        {"type": "error", "sequence_number": 0, "error": {"type": "x", "code": None, "message": "x", "param": None}}
    )


@pytest.mark.parametrize(
    ("number", "path", "value"),
    [
        (1, ["sequence_number"], 2),
        (1, ["response", "model"], "other"),
        (1, ["response", "status"], "completed"),
        (2, ["item", "id"], "msg_2"),
        (2, ["output_index"], 1),
        (2, ["item", "status"], "completed"),
        (3, ["content_index"], 1),
        (4, ["item_id"], "msg_2"),
        (4, ["delta"], "hal"),
        (6, ["text"], "hello!"),
        (7, ["part", "text"], "hello!"),
        (8, ["item", "status"], "incomplete"),
        (9, ["item", "call_id"], "d"),
        (11, ["arguments"], "{} "),
        (12, ["item", "arguments"], "[]"),
        (13, ["response", "status"], "incomplete"),
        (13, ["response", "output"], [MESSAGE]),
        (13, ["response", "completed_at"], None),
        (13, ["response", "usage", "total_tokens"], 4),
    ],
)
def test_every_law_of_a_stream_is_kept(number: int, path: list[str], value: Any) -> None:
    events = deepcopy(STREAM)
    target: Any = events[number]
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    with pytest.raises(ContractError):
        check_stream(events)


@pytest.mark.parametrize(
    ("raw", "good"),
    [
        (b'event: x\ndata: {"type": "x"}\n\ndata: [DONE]\n\n', True),
        (b': still here\n\nevent: x\ndata: {"type": "x"}\n\ndata: [DONE]\n\n', True),
        (b'event: y\ndata: {"type": "x"}\n\ndata: [DONE]\n\n', False),
        (b'data: {"type": "x"}\n\ndata: [DONE]\n\n', False),
        (b'event: x\r\ndata: {"type": "x"}\r\n\r\ndata: [DONE]\n\n', False),
        (b'event: x\ndata: {"type": "x"}\n\n', False),
        (b'event: x\ndata: {"type": "x"}\n\ndata: [DONE]\n\ndata: [DONE]\n\n', False),
    ],
)
def test_a_stream_is_written_as_its_strictest_reader_needs_it(raw: bytes, good: bool) -> None:
    if good:
        assert read_events(raw) == [{"type": "x"}]
    else:
        with pytest.raises(ContractError):
            read_events(raw)


def test_chunks_have_no_names() -> None:
    assert read_chunks(b'data: {"choices": []}\n\ndata: [DONE]\n\n') == [{"choices": []}]
    with pytest.raises(ContractError):
        read_chunks(b'event: x\ndata: {"type": "x"}\n\ndata: [DONE]\n\n')


ERROR = {"message": "No.", "type": "invalid_request_error", "param": None, "code": "invalid_value"}


def test_errors_have_four_fields() -> None:
    check_error({"error": ERROR})
    for name in ERROR:
        with pytest.raises(ContractError):
            check_error({"error": {key: value for key, value in ERROR.items() if key != name}})
    bad: list[Any] = [{"detail": "No."}, {"error": "No."}, {"error": {**ERROR, "code": 400}}, [], None]
    for body in bad:
        with pytest.raises(ContractError):
            check_error(body)


def test_a_compacted_conversation_has_items_and_usage() -> None:
    items = [MESSAGE, {"id": "cmp_1", "type": "compaction", "encrypted_content": "x"}]
    body: Body = {"id": "cmp_2", "object": "response.compaction", "created_at": 1, "output": items, "usage": USAGE}
    check_compaction(body)
    for name in body:
        with pytest.raises(ContractError):
            check_compaction({key: value for key, value in body.items() if key != name})
