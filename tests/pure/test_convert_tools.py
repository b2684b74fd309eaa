"""Tools and tool choice: what the engine is told, and what calls are called on their way back."""

from typing import Any

import msgspec
import pytest

from responses_api.convert import custom
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.convert.tools import HOSTED, INPUT_SCHEMA, Restored
from responses_api.errors import RequestError

SCHEMA = {"type": "object", "properties": {}}
F: dict[str, Any] = {"type": "function", "name": "f", "parameters": SCHEMA}
G: dict[str, Any] = {"type": "function", "name": "g", "parameters": SCHEMA}
PATCH: dict[str, Any] = {"type": "custom", "name": "patch", "description": "Patches."}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
AGENTS: dict[str, Any] = {"type": "namespace", "name": "agents", "description": "d", "tools": [F, PATCH]}
SEARCH: dict[str, Any] = {"type": "web_search", "search_context_size": "low"}


def exchange(rule: str = "adapt", **request: Any) -> ResponsesExchange:
    made = ResponsesExchange(msgspec.json.encode({"model": "p", "input": "hi", **request}))
    made.use(ProfileSettings(name="p", engine_model="e", unrunnable_tools=rule))
    return made


def sent(rule: str = "adapt", **request: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(exchange(rule, **request).engine_body())
    return {name: value for name, value in body.items() if name not in {"model", "messages"}}


def chat(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def chat_custom(name: str, description: str = "Patches.") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": INPUT_SCHEMA}}


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([F], [chat("f")]),
        ([{**F, "description": "d", "strict": True}], [chat("f", description="d", strict=True)]),
        ([{"type": "function", "name": "f", "parameters": None}], [{"type": "function", "function": {"name": "f"}}]),
        ([{**F, "defer_loading": True, "allowed_callers": ["direct"], "output_schema": {}}], [chat("f")]),
        ([PATCH], [chat_custom("patch")]),
        ([{**PATCH, "format": {"type": "text"}}], [chat_custom("patch")]),
        (
            [{**PATCH, "format": GRAMMAR}],
            [chat_custom("patch", "Patches.\n\nThe input follows this grammar (lark):\nstart: WORD")],
        ),
        ([AGENTS], [chat("agents__f"), chat_custom("agents__patch")]),
        ([F, AGENTS], [chat("f"), chat("agents__f"), chat_custom("agents__patch")]),
        ([F, SEARCH], [chat("f")]),
        ([F, F], [chat("f")]),
    ],
)
def test_tools_become_functions(tools: Any, told: Any) -> None:
    assert sent(tools=tools) == {"tools": told}


SAMPLES: dict[str, dict[str, Any]] = {
    "file_search": {"vector_store_ids": ["vs"]},
    "code_interpreter": {"container": {"type": "auto"}},
    "mcp": {"server_label": "s"},
    "computer_use_preview": {"display_height": 1, "display_width": 1, "environment": "linux"},
}


@pytest.mark.parametrize("kind", HOSTED)
def test_what_no_engine_runs_is_left_out_visibly(kind: str) -> None:
    tool = {"type": kind, **SAMPLES.get(kind, {}), "more": 1}
    made = exchange(tools=[tool, F])
    assert made.toolbox.chat_tools == [chat("f")]
    assert made.headers() == [("X-Roundhouse-Dropped-Tools", kind)]
    assert made.toolbox.echo[0] == tool
    assert sent(tools=[tool], tool_choice="auto") == {}
    for name in SAMPLES.get(kind, {}):
        for harmed in ({**tool, name: None}, {key: value for key, value in tool.items() if key != name}):
            with pytest.raises(RequestError) as caught:
                exchange(tools=[harmed])
            assert caught.value.param == f"tools[0].{name}"
    with pytest.raises(RequestError) as caught:
        exchange("refuse", tools=[F, {"type": kind}])
    assert (caught.value.param, caught.value.code) == ("tools[1].type", "unsupported_parameter")


def test_a_profile_may_leave_custom_tools_out_or_refuse_them() -> None:
    made = exchange("drop", tools=[PATCH, AGENTS, SEARCH])
    assert (made.toolbox.chat_tools, made.toolbox.dropped) == ([chat("agents__f")], ["patch", "patch", "web_search"])
    with pytest.raises(RequestError) as caught:
        exchange("refuse", tools=[AGENTS])
    assert caught.value.param == "tools[0].tools[1].type"
    assert sent("refuse", tools=[F, {**AGENTS, "tools": [G]}]) == {"tools": [chat("f"), chat("agents__g")]}


def test_the_header_is_one_line_of_printable_text() -> None:
    made = exchange(
        "drop", tools=[{**PATCH, "name": "é\r\nSet-Cookie: a"}, PATCH, PATCH, {**PATCH, "name": "x" * 2000}]
    )
    ((_, names),) = made.headers()
    assert names.startswith("???Set-Cookie: a, patch, xxx")
    assert len(names) == 1000


def test_without_tools_there_is_no_header() -> None:
    assert exchange().headers() == exchange(tools=[F]).headers() == []


FORCED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("tools", "choice", "told"),
    [
        ([F, G], "auto", {"tools": [chat("f"), chat("g")], "tool_choice": "auto"}),
        ([F, G], "required", {"tools": [chat("f"), chat("g")], "tool_choice": "required"}),
        ([F, G], "none", {"tools": [chat("f"), chat("g")], "tool_choice": "none"}),
        ([], "auto", {}),
        ([], "none", {}),
        ([F, G], {"type": "function", "name": "f"}, {"tools": [chat("f"), chat("g")], "tool_choice": FORCED}),
        (
            [PATCH],
            {"type": "custom", "name": "patch"},
            {
                "tools": [chat_custom("patch")],
                "tool_choice": {"type": "function", "function": {"name": "patch"}},
            },
        ),
        (
            [G, {**AGENTS, "tools": [F]}],
            {"type": "function", "name": "f", "namespace": "agents"},
            {
                "tools": [chat("g"), chat("agents__f")],
                "tool_choice": {"type": "function", "function": {"name": "agents__f"}},
            },
        ),
        (
            [F, G],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
            {"tools": [chat("g")], "tool_choice": "auto"},
        ),
        (
            [F, G, SEARCH],
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
            },
            {"tools": [chat("f")], "tool_choice": "required"},
        ),
        ([F, G], {"type": "allowed_tools", "tools": []}, {}),
    ],
)
def test_the_choice_reaches_the_engine(tools: Any, choice: Any, told: dict[str, Any]) -> None:
    assert sent(tools=tools, tool_choice=choice) == told


@pytest.mark.parametrize(
    ("request_fields", "allowed"),
    [
        ({"tools": [F, G]}, {"f": True, "g": True, "h": True}),
        ({"tools": [F, G], "tool_choice": "none"}, {"f": False, "h": False}),
        (
            {"tools": [F, G], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}]}},
            {"f": False, "g": True, "h": False},
        ),
        ({"tools": [F], "max_tool_calls": 0}, {"f": False}),
        ({"tools": [F], "max_tool_calls": 2}, {"f": True}),
        ({}, {"f": True}),
    ],
)
def test_calls_are_allowed_as_the_caller_asks(request_fields: Any, allowed: dict[str, bool]) -> None:
    box = exchange(**request_fields).toolbox
    assert {name: box.allows(name) for name in allowed} == allowed


@pytest.mark.parametrize(
    ("request_fields", "told"),
    [
        ({"max_tool_calls": 0}, {"tool_choice": "none"}),
        ({"max_tool_calls": 1}, {"parallel_tool_calls": False}),
        ({"max_tool_calls": 1, "parallel_tool_calls": True}, {"parallel_tool_calls": False}),
        ({"max_tool_calls": 2, "parallel_tool_calls": True}, {"parallel_tool_calls": True}),
        ({"max_tool_calls": None, "parallel_tool_calls": None}, {"parallel_tool_calls": None}),
    ],
)
def test_the_number_of_calls_is_limited(request_fields: Any, told: dict[str, Any]) -> None:
    assert sent(tools=[F], **request_fields) == {"tools": [chat("f")], **told}


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"tools": [{"type": "browser"}]}, "tools[0].type"),
        ({"tools": [{**AGENTS, "tools": [SEARCH]}]}, "tools[0].tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        ({"tools": [{**PATCH, "format": {"type": "regex"}}]}, "tools[0].format.type"),
        ({"tools": [{**F, "name": "agents__f"}, AGENTS]}, "tools[1].tools[0].name"),
        ({"tools": [{**F, "name": "patch"}, PATCH]}, "tools[1].name"),
        ({"tools": [SEARCH], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [SEARCH], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tools": [F], "tool_choice": {"type": "mcp", "server_label": "s"}}, "tool_choice.type"),
        ({"tools": [F], "tool_choice": {"type": "sometimes"}}, "tool_choice.type"),
        ({"tools": [F], "tool_choice": {"type": "custom", "name": "f"}}, "tool_choice.name"),
        ({"tools": [F], "tool_choice": {"type": "function", "name": "f", "namespace": "n"}}, "tool_choice.name"),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "x"}]}},
            "tool_choice.tools[0].name",
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "web_search"}]}},
            "tool_choice.tools[0].type",
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "tools": [{"type": [], "name": "f"}]}},
            "tool_choice.tools[0].type",
        ),
        ({"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "x", "tools": []}}, "tool_choice.mode"),
        ({"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}}, "tool_choice"),
        ({"tools": [F], "max_tool_calls": -1}, "max_tool_calls"),
        ({"tools": [F], "tool_choice": "required", "max_tool_calls": 0}, "max_tool_calls"),
        ({"tools": [F], "tool_choice": {"type": "function", "name": "f"}, "max_tool_calls": 0}, "max_tool_calls"),
    ],
)
def test_what_cannot_be_met_is_refused_by_name(request_fields: Any, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        exchange(**request_fields)
    assert (caught.value.param, caught.value.status) == (param, 400)


def test_names_come_back_as_the_caller_gave_them() -> None:
    box = exchange(tools=[F, AGENTS, {**PATCH, "name": "p"}]).toolbox
    assert [box.restore(name) for name in ("f", "agents__f", "agents__patch", "p", "unknown")] == [
        Restored("f"),
        Restored("f", "agents"),
        Restored("patch", "agents", is_custom=True),
        Restored("p", is_custom=True),
        Restored("unknown"),
    ]


def test_the_resource_echoes_every_tool() -> None:
    made = exchange(tools=[F, AGENTS, SEARCH])
    told = {"type": "function", "name": "f", "description": None, "parameters": SCHEMA, "strict": None}
    head = made.head(Stamp("resp_1", 1, 2, lambda prefix: f"{prefix}_1"))
    assert head["tools"] == [told, AGENTS, SEARCH]


def called(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    message = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    made = exchange(tools=[AGENTS, F])
    raw = msgspec.json.encode({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    body = msgspec.json.decode(made.answer(raw, Stamp("resp_1", 1, 2, lambda prefix: f"{prefix}_1")).body)
    item: dict[str, Any] = body["output"][-1]
    return item


def test_calls_come_back_as_calls_of_the_callers_tools() -> None:
    rest = {"status": "completed", "call_id": "c"}
    assert called("f", "{}") == {"id": "fc_1", "type": "function_call", **rest, "name": "f", "arguments": "{}"}
    assert called("agents__f", "{}") == {
        "id": "fc_1",
        "type": "function_call",
        **rest,
        "name": "f",
        "arguments": "{}",
        "namespace": "agents",
    }
    assert called("agents__patch", '{"input": "*** Begin\\n"}') == {
        "id": "ctc_1",
        "type": "custom_tool_call",
        **rest,
        "name": "patch",
        "input": "*** Begin\n",
        "namespace": "agents",
    }


TEXTS = ["", "hello", 'a"b\\c\n\té', "😀 x", '{"a": 1}', "\u2028/\x00"]


@pytest.mark.parametrize("text", TEXTS)
def test_an_input_survives_the_way_through_a_function(text: str) -> None:
    assert custom.input_of(custom.arguments(text)) == text
    ascii_only = "".join(f"\\u{unit:04X}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))
    spelled = f' {{ "input" : "{ascii_only}" }}'
    assert custom.input_of(spelled) == text
    for arguments in (custom.arguments(text), spelled):
        reader = custom.InputReader()
        assert "".join(map(reader.feed, arguments)) + reader.rest() == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", ""),
        ("{}", ""),
        ('{"why": 1, "input": "x"}', "x"),
        ('{"input": 5}', '{"input": 5}'),
        ("not JSON", "not JSON"),
        ('"x"', '"x"'),
        ('{"input": "cut off', "cut off"),
        ('{"input": "cut off \\u00', "cut off "),
        ('{"input": "\\ud83d x \\q"}', "� x q"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_arguments_that_are_not_as_they_should_be_lose_nothing_readable(arguments: str, text: str) -> None:
    assert custom.input_of(arguments) == text
    reader = custom.InputReader()
    assert "".join(map(reader.feed, arguments)) + reader.rest() == text


def held(*tools: Any) -> dict[str, Any]:
    return {"type": "additional_tools", "role": "developer", "tools": [*tools]}


def test_tools_that_items_hold_are_offered_with_the_others() -> None:
    hi = {"role": "user", "content": "hi"}
    made = exchange(tools=[F], input=[held(G), hi, held(F)], tool_choice={"type": "function", "name": "g"})
    body = msgspec.json.decode(made.engine_body())
    assert (body["tools"], len(body["messages"])) == ([chat("f"), chat("g")], 1)
    assert [tool["name"] for tool in made.toolbox.echo] == ["f"]
    made = exchange(previous_response_id="resp_1")
    made.recall([hi, held(AGENTS, SEARCH)], {})
    assert msgspec.json.decode(made.engine_body())["tools"] == [chat("agents__f"), chat_custom("agents__patch")]
    assert made.headers() == [("X-Roundhouse-Dropped-Tools", "web_search")]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (held(F, {"type": "function"}), "input[0].tools[1].name"),
        (held({"type": "x"}), "input[0].tools[0].type"),
        ({"type": "additional_tools"}, "input[0].tools"),
        (held({**PATCH, "name": "f"}), "input[0].tools[0].name"),
    ],
)
def test_such_tools_are_refused_where_they_stand(item: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        exchange(tools=[F], input=[item])
    assert caught.value.param == param
