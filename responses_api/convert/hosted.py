"""Items of tools that ran on a server, or in a way of their own: kept readable as calls and what they returned. Pure.

No engine runs such tools, but conversations hold their calls: those of another server, or of an engine that has some.
The model sees each as a call of a function with the tool's name, and its result as the result of that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from responses_api import wire
from responses_api.convert import parts
from responses_api.convert.transcript import Transcript
from responses_api.errors import RequestError

Item = dict[str, Any]

# What is written where a result holds nothing that could be read.
NOTHING = "(no readable result)"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else wire.encode(value).decode()


def _some(item: Item, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: item[name] for name in names if item.get(name) is not None}


def _call_id(item: Item, at: str, *names: str) -> str:
    for name in names:
        if isinstance(item.get(name), str):
            return str(item[name])
    raise RequestError(
        f"Missing required parameter: '{at}.{names[0]}'.",
        param=f"{at}.{names[0]}",
        code="missing_required_parameter",
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """An item that holds a call and what it returned: which fields tell of which."""

    name: str  # of the function; of the field that holds it if there is one
    asked: tuple[str, ...]
    returned: tuple[str, ...]

    def __call__(self, item: Item, at: str, transcript: Transcript) -> None:
        """Add the call and its result."""
        call_id = _call_id(item, at, "id", "call_id")
        name = item.get("name") if self.name == "name" else self.name
        if not isinstance(name, str):
            raise RequestError(
                f"Missing required parameter: '{at}.name'.", param=f"{at}.name", code="missing_required_parameter"
            )
        asked = item.get("arguments") if self.asked == ("arguments",) else _some(item, self.asked)
        transcript.add_call(call_id, name, _text(asked if asked is not None else {}))
        found = _some(item, self.returned)
        result = next(iter(found.values())) if len(found) == 1 else found
        transcript.add_output(call_id, _text(result) if found else NOTHING, f"{at}.id")


@dataclass(frozen=True, slots=True)
class Call:
    """An item that holds a call alone; another holds what it returned."""

    name: str
    asked: tuple[str, ...]

    def __call__(self, item: Item, at: str, transcript: Transcript) -> None:
        """Add the call."""
        transcript.add_call(_call_id(item, at, "call_id", "id"), self.name, _text(_some(item, self.asked)))


@dataclass(frozen=True, slots=True)
class Output:
    """An item that holds what a call returned, and in which field. `by` names the fields that may hold its id."""

    field: str
    by: tuple[str, ...] = ("call_id",)

    def __call__(self, item: Item, at: str, transcript: Transcript) -> None:
        """Add the result."""
        call_id = _call_id(item, at, *self.by)
        transcript.add_output(call_id, self._content(item, at), f"{at}.{self.by[0]}")

    def _content(self, item: Item, at: str) -> Any:
        given = item.get(self.field)
        if isinstance(given, dict) and isinstance(given.get("image_url"), str):  # a computer's screenshot
            url = parts.address(given["image_url"], f"{at}.{self.field}.image_url")
            return [{"type": "image_url", "image_url": {"url": url, "detail": "auto"}}]
        if given is None:
            return _text(_some(item, ("status", "reason")) or NOTHING)
        return _text(given)


ITEMS: Mapping[str, Callable[[Item, str, Transcript], None]] = {
    "web_search_call": Whole("web_search", ("action",), ("results",)),
    "file_search_call": Whole("file_search", ("queries",), ("results",)),
    "code_interpreter_call": Whole("code_interpreter", ("code",), ("outputs",)),
    # The image itself is left out: as text it would be nothing but a long line.
    "image_generation_call": Whole("image_generation", ("revised_prompt",), ("status",)),
    "mcp_call": Whole("name", ("arguments",), ("output", "error")),
    "mcp_list_tools": Whole("mcp_list_tools", ("server_label",), ("tools", "error")),
    "mcp_approval_request": Call("mcp_approval", ("server_label", "name", "arguments")),
    "mcp_approval_response": Output("approve", by=("approval_request_id",)),
    "computer_call": Call("computer", ("action", "actions", "pending_safety_checks")),
    "computer_call_output": Output("output"),
    "local_shell_call": Call("local_shell", ("action",)),
    "local_shell_call_output": Output("output", by=("call_id", "id")),
    "shell_call": Call("shell", ("action",)),
    "shell_call_output": Output("output"),
    "apply_patch_call": Call("apply_patch", ("operation",)),
    "apply_patch_call_output": Output("output"),
}
