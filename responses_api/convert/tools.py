"""Tools, tool choice and text format: Responses to chat completions, one function a kind. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert.parts import unknown_kind
from responses_api.errors import RequestError


class FunctionTool(msgspec.Struct, forbid_unknown_fields=True):
    """A function that the model may call."""

    name: str
    type: str = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedChoice(msgspec.Struct, forbid_unknown_fields=True):
    """`tool_choice` that names one function."""

    name: str
    type: str = "function"


class JsonSchema(msgspec.Struct, forbid_unknown_fields=True):
    """`text.format` with a schema."""

    name: str
    schema: dict[str, Any]
    type: str = "json_schema"
    description: str | None = None
    strict: bool | None = None


def _without_nulls(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _function(tool: dict[str, Any], at: str) -> FunctionTool:
    return wire.read(tool, FunctionTool, at)


TOOLS: Mapping[str, Callable[[dict[str, Any], str], FunctionTool]] = {"function": _function}


def read_tools(tools: list[dict[str, Any]]) -> list[FunctionTool]:
    """Return the tools.

    Raises:
        RequestError: naming the tool that is malformed or of a kind that no engine can run.
    """
    found = []
    for index, tool in enumerate(tools):
        kind, at = tool.get("type"), f"tools[{index}]"
        reader = TOOLS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise unknown_kind(kind, TOOLS, f"{at}.type")
        found.append(reader(tool, at))
    return found


def chat_tool(tool: FunctionTool) -> dict[str, Any]:
    """Return the tool as chat completions write it."""
    fields = _without_nulls(description=tool.description, parameters=tool.parameters, strict=tool.strict)
    return {"type": "function", "function": {"name": tool.name, **fields}}


WORDS = ("none", "auto", "required")


def chat_choice(choice: str | dict[str, Any], tools: list[FunctionTool]) -> str | dict[str, Any]:
    """Return the tool choice as chat completions write it.

    Raises:
        RequestError: for an unknown choice, or one that the tools cannot meet.
    """
    if isinstance(choice, str):
        if choice not in WORDS:
            raise unknown_kind(choice, dict.fromkeys(WORDS), "tool_choice")
        if choice == "required" and not tools:
            raise RequestError("tool_choice 'required' needs tools.", param="tool_choice")
        return choice
    if choice.get("type") != "function":
        raise unknown_kind(choice.get("type"), {"function": None}, "tool_choice.type")
    name = wire.read(choice, NamedChoice, "tool_choice").name
    if all(tool.name != name for tool in tools):
        raise RequestError(f"tool_choice names the function '{name}', which is not in tools.", param="tool_choice.name")
    return {"type": "function", "function": {"name": name}}


def _plain(_format: dict[str, Any]) -> None:
    return None


def _json_object(_format: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_object"}


def _json_schema(given: dict[str, Any]) -> dict[str, Any]:
    read = wire.read(given, JsonSchema, "text.format")
    fields = _without_nulls(description=read.description, strict=read.strict)
    return {"type": "json_schema", "json_schema": {"name": read.name, "schema": read.schema, **fields}}


FORMATS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "text": _plain,
    "json_object": _json_object,
    "json_schema": _json_schema,
}


def response_format(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return `text.format` as chat completions write it; None for plain text.

    Raises:
        RequestError: naming what is malformed.
    """
    kind = given.get("type")
    reader = FORMATS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise unknown_kind(kind, FORMATS, "text.format.type")
    return reader(given)
