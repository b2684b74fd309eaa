"""Tools and tool choice: Responses to chat completions, one function a kind, and the names of calls back. Pure.

Engines know functions alone. A tool of a namespace is the function `<namespace>__<name>`; a custom tool, whose input is
plain text, is a function with one argument, `input`. Tools that would run on the server itself cannot be run by an
engine. What becomes of custom tools and of those is the profile's rule (`unrunnable_tools`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from responses_api import wire
from responses_api.convert.parts import unknown_kind
from responses_api.errors import RequestError, UnsupportedError

Tool = dict[str, Any]

SEPARATOR = "__"

UNPRINTABLE = re.compile(r"[^ -~]")
MAX_HEADER = 1000


class FunctionTool(msgspec.Struct, forbid_unknown_fields=True):
    """A function that the model may call. The last three fields are about loading and calling tools from programs,
    which engines do not do: every tool is there, and called directly.
    """

    name: str
    type: str = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    output_schema: dict[str, Any] | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None


class Grammar(msgspec.Struct):
    """What the input of a custom tool looks like."""

    type: Literal["text", "grammar"] = "text"
    syntax: str = ""
    definition: str = ""


class CustomTool(msgspec.Struct, forbid_unknown_fields=True):
    """A tool whose input is plain text."""

    name: str
    type: str = "custom"
    description: str | None = None
    format: Grammar | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None


class Namespace(msgspec.Struct, forbid_unknown_fields=True):
    """Tools under a common name."""

    name: str
    tools: list[Tool]
    type: str = "namespace"
    description: str | None = None


class Restored(NamedTuple):
    """What the caller calls a tool that the engine calls by one name."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


def engine_name(name: str, namespace: str | None) -> str:
    """Return the name under which an engine knows a tool."""
    return f"{namespace}{SEPARATOR}{name}" if namespace else name


@dataclass(slots=True)
class Toolbox:
    """The tools of one request, as the engine is told of them (`chat_tools`, `choice`) and as the caller is.

    `dropped` names those that were left out, `echo` holds what the resource says of all.
    """

    chat_tools: list[Tool] = field(default_factory=list)
    choice: str | Tool | None = None
    dropped: list[str] = field(default_factory=list)
    echo: list[Tool] = field(default_factory=list)
    at_most: int | None = None  # calls that one answer may hold
    _names: dict[str, Restored] = field(default_factory=dict)
    _is_limited: bool = False  # whether a call of anything but `chat_tools` is forbidden

    def allows(self, name: str) -> bool:
        """Whether the model may call this function: the caller may have allowed only some, or none."""
        return not self._is_limited or name in self._names

    def dropped_names(self) -> str:
        """Return what was left out, as the value of an HTTP header: callers make the names of custom tools."""
        if not self.dropped:
            return ""
        return UNPRINTABLE.sub("?", ", ".join(dict.fromkeys(self.dropped)))[:MAX_HEADER]

    def restore(self, name: str) -> Restored:
        """Return what the caller calls the function that the engine calls by this name."""
        return self._names.get(name) or Restored(name)

    def add(self, tool: Tool, restored: Restored, at: str) -> None:
        """Offer a tool to the engine. Raises RequestError if another tool has its name there."""
        name = tool["function"]["name"]
        known = self._names.setdefault(name, restored)
        if known != restored:
            raise RequestError(f"Two tools would both be called '{name}'.", param=f"{at}.name")
        if known is not restored and tool in self.chat_tools:
            return
        self.chat_tools.append(tool)

    def keep_only(self, names: set[str]) -> None:
        """Forbid all tools but these, and tell the engine of no others."""
        self.allow_only(names)
        self.chat_tools = [tool for tool in self.chat_tools if tool["function"]["name"] in names]

    def allow_only(self, names: set[str]) -> None:
        """Forbid calls of all tools but these."""
        self._is_limited = True
        self._names = {name: restored for name, restored in self._names.items() if name in names}

    def forbid_all(self) -> None:
        """Forbid every call. The engine still hears of the tools: the conversation may hold calls of them."""
        self._is_limited, self._names, self.choice = True, {}, "none"


EMPTY = Toolbox()


def _function(tool: Tool, at: str, box: Toolbox, _rule: str, namespace: str | None = None) -> None:
    read = wire.read(tool, FunctionTool, at)
    function: Tool = {"name": engine_name(read.name, namespace)}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(read, name)) is not None:
            function[name] = value
    box.add({"type": "function", "function": function}, Restored(read.name, namespace), at)


INPUT_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


def _custom(tool: Tool, at: str, box: Toolbox, rule: str, namespace: str | None = None) -> None:
    read = wire.read(tool, CustomTool, at)
    if rule != "adapt":
        _leave_out(read.name, "custom", at, box, rule)
        return
    told = [read.description] if read.description else []
    if read.format is not None and read.format.type == "grammar":
        told.append(f"The input follows this grammar ({read.format.syntax}):\n{read.format.definition}")
    function: Tool = {"name": engine_name(read.name, namespace)}
    if told:
        function["description"] = "\n\n".join(told)
    function["parameters"] = INPUT_SCHEMA
    box.add({"type": "function", "function": function}, Restored(read.name, namespace, is_custom=True), at)


def _namespace(tool: Tool, at: str, box: Toolbox, rule: str) -> None:
    read = wire.read(tool, Namespace, at)
    for index, inner in enumerate(read.tools):
        kind, place = inner.get("type"), f"{at}.tools[{index}]"
        reader = IN_NAMESPACES.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise unknown_kind(kind, IN_NAMESPACES, f"{place}.type")
        reader(inner, place, box, rule, read.name)


def _hosted(tool: Tool, at: str, box: Toolbox, rule: str) -> None:
    """Leave the tool out. The answer names it nevertheless, so clients have to be able to read it there."""
    _leave_out(str(tool["type"]), str(tool["type"]), at, box, rule)
    for name, kind in HOSTED[tool["type"]].items():
        place = f"{at}.{name}"
        if name not in tool:
            raise RequestError(
                f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter"
            )
        wire.read(tool[name], kind, place)


def _leave_out(name: str, kind: str, at: str, box: Toolbox, rule: str) -> None:
    if rule == "refuse":
        raise UnsupportedError(f"No engine runs tools of type '{kind}'.", param=f"{at}.type")
    box.dropped.append(name)


# They run where the model does, or the API's own items carry their calls. Of each, the fields that it must have.
HOSTED: Mapping[str, Mapping[str, Any]] = {
    "web_search": {},
    "web_search_2025_08_26": {},
    "web_search_preview": {},
    "web_search_preview_2025_03_11": {},
    "file_search": {"vector_store_ids": list[str]},
    "code_interpreter": {"container": str | dict[str, Any]},
    "image_generation": {},
    "mcp": {"server_label": str},
    "computer": {},
    "computer_use": {},
    "computer_use_preview": {"display_height": int, "display_width": int, "environment": str},
    "local_shell": {},
    "shell": {},
    "apply_patch": {},
    "tool_search": {},
    "programmatic_tool_calling": {},
}
IN_NAMESPACES: Mapping[str, Callable[[Tool, str, Toolbox, str, str | None], None]] = {
    "function": _function,
    "custom": _custom,
}
TOOLS: Mapping[str, Callable[[Tool, str, Toolbox, str], None]] = {
    "function": _function,
    "custom": _custom,
    "namespace": _namespace,
    **dict.fromkeys(HOSTED, _hosted),
}


def pack(
    given: Sequence[Tool] | None,
    choice: str | Tool | None,
    *,
    rule: str,
    at_most: int | None = None,
    more: Sequence[tuple[str, Tool]] = (),
) -> Toolbox:
    """Return the toolbox of a request: `tools`, `tool_choice` and `max_tool_calls`, under a profile's rule. `more` are
    the tools that its items hold, and where each stands.

    Raises:
        RequestError: naming the tool that is malformed, unknown or refused by the rule, or the choice that the tools
            cannot meet.
    """
    if not given and choice is None and at_most is None and not more:
        return EMPTY
    box = Toolbox(at_most=at_most, echo=[_echo(tool) for tool in given or ()])
    for at, tool in [*((f"tools[{index}]", tool) for index, tool in enumerate(given or ())), *more]:
        kind = tool.get("type")
        reader = TOOLS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise unknown_kind(kind, TOOLS, f"{at}.type")
        reader(tool, at, box, rule)
    if choice is not None:
        _choose(choice, box)
    if at_most is not None:
        _limit(at_most, box)
    return box


def _echo(tool: Tool) -> Tool:
    """Return a tool as the resource has it: functions with all the fields that the contract wants."""
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "description": None, "parameters": None, "strict": None, **tool}


def _limit(at_most: int, box: Toolbox) -> None:
    if at_most == 0:
        if box.choice not in (None, "auto", "none"):
            raise RequestError("tool_choice asks for a call and max_tool_calls allows none.", param="max_tool_calls")
        box.forbid_all()


class NamedChoice(msgspec.Struct, forbid_unknown_fields=True):
    """`tool_choice` that names one tool."""

    name: str
    type: str = "function"
    namespace: str | None = None


class AllowedTools(msgspec.Struct, forbid_unknown_fields=True):
    """`tool_choice` that allows some of the tools."""

    tools: list[Tool]
    type: str = "allowed_tools"
    mode: Literal["none", "auto", "required"] = "auto"


def _word(choice: str, box: Toolbox) -> None:
    if choice == "none":
        box.forbid_all()
        return
    if choice == "required" and not box.chat_tools:
        raise RequestError("tool_choice 'required' needs tools that an engine can call.", param="tool_choice")
    box.choice = choice


def _named(choice: Tool, box: Toolbox) -> None:
    name = _find(choice, "tool_choice", box)
    box.choice = {"type": "function", "function": {"name": name}}
    box.allow_only({name})


def _find(choice: Tool, at: str, box: Toolbox) -> str:
    """Return the engine's name of a tool that is named in a choice. Raises RequestError if it is not in the tools."""
    read = wire.read(choice, NamedChoice, at)
    is_custom = read.type == "custom"
    for tool in box.chat_tools:
        name: str = tool["function"]["name"]
        restored = box.restore(name)
        spoken = (read.name, read.namespace)
        if restored.is_custom is is_custom and spoken in {
            (restored.name, restored.namespace),
            (restored.name, None),
            (name, None),
        }:
            return name
    raise RequestError(f"{at} names the {read.type} '{read.name}', which is not in tools.", param=f"{at}.name")


def _allowed(choice: Tool, box: Toolbox) -> None:
    read = wire.read(choice, AllowedTools, "tool_choice")
    names: set[str] = set()
    for index, tool in enumerate(read.tools):
        kind, at = tool.get("type"), f"tool_choice.tools[{index}]"
        if kind in ("function", "custom"):
            names.add(_find(tool, at, box))
        elif not isinstance(kind, str) or kind not in box.dropped:  # what was left out is allowed in vain
            raise unknown_kind(kind, dict.fromkeys(("function", "custom", *box.dropped)), f"{at}.type")
    box.keep_only(names)
    _word(read.mode, box)


def _hosted_choice(choice: Tool, _box: Toolbox) -> None:
    raise UnsupportedError(f"No engine runs tools of type '{choice['type']}'.", param="tool_choice.type")


WORDS = ("none", "auto", "required")
CHOICES: Mapping[str, Callable[[Tool, Toolbox], None]] = {
    "function": _named,
    "custom": _named,
    "allowed_tools": _allowed,
    **dict.fromkeys(HOSTED, _hosted_choice),
}


def _choose(choice: str | Tool, box: Toolbox) -> None:
    if isinstance(choice, str):
        if choice not in WORDS:
            raise unknown_kind(choice, dict.fromkeys(WORDS), "tool_choice")
        _word(choice, box)
        return
    kind = choice.get("type")
    reader = CHOICES.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise unknown_kind(kind, CHOICES, "tool_choice.type")
    reader(choice, box)
