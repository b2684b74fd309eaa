"""Requests that clients might send: every kind of item, part, tool and setting of either API, and headers."""

from itertools import chain
from typing import Any

from hypothesis import strategies as st

Some = st.SearchStrategy[Any]


def one(**fields: Any) -> Some:
    """An object with these fields; `may` holds those that can be missing. What is no strategy stands for itself."""
    optional = fields.pop("may", {})
    return st.fixed_dictionaries(
        {name: _some(value) for name, value in fields.items()},
        optional={name: _some(value) for name, value in optional.items()},
    )


def _some(value: Any) -> Some:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def of(*values: Any) -> Some:
    return st.sampled_from(values)


def rarely(value: Any) -> Some:
    """That value, or much more often none."""
    return of(None, None, None, None, None, value)


text = of("hi", "", "a b c", "<think>a</think>b", "</think>", "é\u2028", "\U0001f642", "x\x00y", "{}")
call_id = of("c1", "c2", "")
status = of("completed", "in_progress", "incomplete", None)
schema = of({"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object"}, {}, None)
image = of("data:image/png;base64,AAAA", "https://example.com/x.png", None)

input_parts = st.one_of(
    one(type="input_text", text=text),
    one(type="input_image", may={"image_url": image, "file_id": "file_1", "detail": of("auto", "low", "high", None)}),
    one(type="input_file", may={"filename": "a.txt", "file_data": "AAAA", "file_url": "https://example.com/a"}),
    one(type="input_video", video_url="https://example.com/a.mp4"),
    one(type="input_audio", input_audio={"data": "AAAA", "format": "wav"}),
)
output_parts = st.one_of(
    one(type="output_text", text=text, may={"annotations": [], "logprobs": of([], None)}),
    one(type="refusal", refusal=text),
)
thoughts = st.lists(one(type="summary_text", text=text), max_size=2)

messages = st.one_of(
    one(role=of("user", "system", "developer", "assistant"), content=text, may={"type": "message"}),
    one(type="message", role=of("user", "system", "developer"), content=st.lists(input_parts, max_size=3)),
    one(
        type="message", role="assistant", content=st.lists(output_parts, max_size=3), may={"id": "m", "status": status}
    ),
)
reasoning = one(
    type="reasoning",
    summary=thoughts,
    may={"id": "rs_1", "content": of(None, [{"type": "reasoning_text", "text": "t"}]), "encrypted_content": "x"},
)
call = one(
    type="function_call", call_id=call_id, name=of("f", "g"), arguments=of("{}", "{", ""), may={"status": status}
)
output = one(type="function_call_output", call_id=call_id, output=text | st.lists(input_parts, max_size=2))
others = st.one_of(
    one(type="item_reference", id=of("msg_1", "resp_1")),
    one(type="compaction", encrypted_content=text),
    one(type="custom_tool_call", call_id=call_id, name="f", input=text),
    one(type="custom_tool_call_output", call_id=call_id, output=text),
    one(type=of("web_search_call", "file_search_call", "mcp_call", "computer_call", "nothing"), id="x", status=status),
)
turns = st.one_of(
    messages.map(lambda item: [item]),
    reasoning.map(lambda item: [item]),
    st.tuples(call, output).map(lambda pair: [pair[0], {**pair[1], "call_id": pair[0]["call_id"]}]),
    st.one_of(call, output, others).map(lambda item: [item]),
)
inputs = text | st.lists(turns, max_size=4).map(lambda found: [*chain(*found)])

function = one(
    type="function", name=of("f", "g"), may={"description": text, "parameters": schema, "strict": of(True, None)}
)
other_tools = of(
    {"type": "web_search"},
    {"type": "custom", "name": "c"},
    {"type": "local_shell"},
    {"type": "file_search", "vector_store_ids": []},
    {"type": "mcp", "server_label": "x"},
    {"type": "namespace", "name": "n", "description": "", "tools": []},
)
choices = of(
    *("auto", "none", "required", {"type": "function", "name": "f"}, {"type": "function", "name": "none_such"}, None),
    {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    {"type": "custom", "name": "c"},
)
formats = of(
    {"type": "text"},
    {"type": "json_object"},
    {"type": "json_schema", "name": "s", "schema": {"type": "object"}},
    {"type": "json_schema", "name": "s", "schema": {}, "strict": None, "description": None},
)
numbers = of(0, 1, 0.5, None)
sampling = {
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), numbers),
    "user": "u",
    "seed": of(1, None),
    "stop": of("x", ["x"], None),
    "logit_bias": of({"1": 1}, None),
    "top_k": 5,
    "min_p": 0.1,
    "parallel_tool_calls": of(True, False, None),
    "metadata": of({"a": "b"}, {}, None),
    "service_tier": of("auto", "default", None),
    "store": of(True, False, None),
    "top_logprobs": rarely(2),
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "chat_template_kwargs": of({"enable_thinking": True}, None),
}

responses = one(
    model="tiny",
    input=inputs,
    stream=of(False, True),
    may={
        **sampling,
        "instructions": text | st.none(),
        "tools": st.lists(function, max_size=2) | rarely(None) | st.lists(function | other_tools, max_size=2),
        "tool_choice": choices,
        "text": one(may={"format": formats, "verbosity": of("low", "high")}) | st.none(),
        "reasoning": one(may={"effort": of("none", "minimal", "high", None), "summary": of("auto", None)}) | st.none(),
        "max_output_tokens": of(16, 1, None, 4096, 0, -1),
        "include": of([], ["reasoning.encrypted_content"], None, ["message.output_text.logprobs"], ["x"]),
        "truncation": of("disabled", None, "disabled", "auto"),
        "previous_response_id": rarely("resp_1"),
        "conversation": rarely({"id": "conv_1"}),
        "background": rarely(False),  # true has no end that could be waited for here
        "max_tool_calls": rarely(1),
        "stream_options": of(None, {}, {"include_obfuscation": False}),
    },
)

compactions = one(
    model="tiny",
    input=inputs,
    may={
        "instructions": text | st.none(),
        "prompt_cache_key": of("k", None),
        "previous_response_id": rarely("resp_1"),
        "service_tier": of("auto", None),
    },
)

chat_tool_call = one(id=call_id, type="function", function=one(name=of("f", "g"), arguments=of("{}", "{", "")))
chat_messages = st.one_of(
    one(role=of("user", "system", "developer"), content=text),
    one(role="user", content=st.lists(one(type="text", text=text), max_size=2)),
    one(
        role="assistant",
        content=text
        | st.none()
        | st.lists(one(type="text", text=text) | one(type="refusal", refusal=text), max_size=2),
        may={"tool_calls": st.lists(chat_tool_call, max_size=2), "reasoning": text, "reasoning_content": text},
    ),
    one(role="tool", tool_call_id=call_id, content=text),
)
chat_tool = one(type="function", function=one(name=of("f", "g"), may={"description": text, "parameters": schema}))
chats = one(
    model="tiny",
    messages=st.lists(chat_messages, max_size=4),
    stream=of(False, True),
    may={
        **sampling,
        "stream_options": of({"include_usage": True}, {"include_usage": False}, {}, None),
        "tools": st.lists(chat_tool, max_size=2),
        "tool_choice": of("auto", "none", "required", {"type": "function", "function": {"name": "f"}}),
        "response_format": of({"type": "json_object"}, {"type": "text"}),
        "max_tokens": of(16, 1, 0, None),
        "max_completion_tokens": of(16, None),
        "n": of(1, 2),
        "logprobs": of(True, False),
    },
)

HEADERS = (
    *("x-session-id", "session-id", "session_id", "thread-id", "cookie", "x-request-id", "idempotency-key", "accept"),
    *("content-type", "user-agent", "origin", "x-api-key", "traceparent", "openai-organization"),
)
# What may stand in a header at all, be it Latin-1, UTF-8 or neither.
visible = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
header = st.one_of(
    of(
        b"", b"s1", b"s" * 201, b"roundhouse_session=s1.0", b"roundhouse_session=.; a; =; ;", b"\xc3\xa9", b"text/plain"
    ),
    st.text(visible, max_size=12).map(lambda value: value.strip(" \xa0\x85").encode("latin-1")),
)
headers = one(may=dict.fromkeys(HEADERS, header)) | one(authorization=header)
