"""Calls of tools that no engine runs stay readable in a conversation: one row a kind."""

from typing import Any

import msgspec
import pytest

from responses_api.errors import RequestError
from tests.pure.conversations import HI, assistant, said, sent, tool


@pytest.mark.parametrize(
    ("item", "name", "arguments", "result"),
    [
        (
            {"type": "web_search_call", "id": "c", "status": "completed", "action": {"type": "search", "query": "q"}},
            "web_search",
            {"action": {"type": "search", "query": "q"}},
            "(no readable result)",
        ),
        (
            {"type": "file_search_call", "id": "c", "queries": ["q"], "results": [{"text": "t"}]},
            "file_search",
            {"queries": ["q"]},
            '[{"text":"t"}]',
        ),
        (
            {"type": "code_interpreter_call", "id": "c", "code": "1", "outputs": [{"type": "logs", "logs": "1"}]},
            "code_interpreter",
            {"code": "1"},
            '[{"type":"logs","logs":"1"}]',
        ),
        (
            {"type": "image_generation_call", "id": "c", "result": "iVBORw0KG", "status": "completed"},
            "image_generation",
            {},
            "completed",
        ),
        (
            {"type": "mcp_call", "id": "c", "name": "ask", "arguments": '{"q": 1}', "server_label": "s", "output": "o"},
            "ask",
            {"q": 1},
            "o",
        ),
        (
            {"type": "mcp_call", "id": "c", "name": "ask", "arguments": "{}", "output": None, "error": "no"},
            "ask",
            {},
            "no",
        ),
        (
            {"type": "mcp_list_tools", "id": "c", "server_label": "s", "tools": [{"name": "ask"}]},
            "mcp_list_tools",
            {"server_label": "s"},
            '[{"name":"ask"}]',
        ),
    ],
)
def test_calls_that_ran_elsewhere_stay_readable(item: Any, name: str, arguments: Any, result: str) -> None:
    found = sent(input=[HI, item, said("A")])["messages"]
    function = found[1]["tool_calls"][0]["function"]
    assert (function["name"], msgspec.json.decode(function["arguments"])) == (name, arguments)
    assert found[2:] == [tool("c", result), assistant("A")]


@pytest.mark.parametrize(
    ("call_item", "output_item", "name", "result"),
    [
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "c", "output": "o"},
            "local_shell",
            "o",
        ),
        (
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "o"}]},
            "shell",
            '[{"stdout":"o"}]',
        ),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "p"}},
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"},
            "apply_patch",
            '{"status":"failed"}',
        ),
        (
            {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,AA"},
            },
            "computer",
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "auto"}}],
        ),
        (
            {"type": "mcp_approval_request", "id": "c", "server_label": "s", "name": "ask", "arguments": "{}"},
            {"type": "mcp_approval_response", "approval_request_id": "c", "approve": True},
            "mcp_approval",
            "true",
        ),
    ],
)
def test_calls_and_outputs_of_other_kinds_stay_readable(
    call_item: Any, output_item: Any, name: str, result: Any
) -> None:
    found = sent(input=[call_item, output_item])["messages"]
    assert found[0]["tool_calls"][0]["function"]["name"] == name
    assert found[1] == tool("c", result)
    with pytest.raises(RequestError) as caught:
        sent(input=[output_item])
    assert str(caught.value).startswith("No tool call found")
