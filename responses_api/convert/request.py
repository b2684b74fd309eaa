"""A /v1/responses request to an engine's chat completion request. Pure."""

from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET

from responses_api.convert import formats
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.side_channel import NOTHING, SideChannel
from responses_api.convert.tools import Toolbox
from responses_api.convert.transcript import Message
from responses_api.errors import RequestError, UnsupportedError
from responses_api.wire import ResponsesRequest

# Sent under the same name, nulls included: an explicit null beats the profile's `extra_body`.
SAME_NAME = tuple(
    field.name
    for field in msgspec.structs.fields(ResponsesRequest)
    if field.default is UNSET and field.name != "parallel_tool_calls"
)

# Known features that are not served, and the values that ask for none of it.
REFUSED_UNLESS: dict[str, tuple[Any, ...]] = {
    "stream_options": (None, {}, {"include_obfuscation": False}),
    "prompt": (None,),
    "context_management": (None, []),
    "n": (None, 1),
    "moderation": (None,),
    "access_programs": (None,),
    "image": (None,),
}
_of_same_name = attrgetter(*SAME_NAME)
_refusable = attrgetter(*REFUSED_UNLESS)
REASONING_REFUSED_UNLESS: dict[str, tuple[Any, ...]] = {
    "mode": (None, "standard"),
}

LOGPROBS = "message.output_text.logprobs"
SEALED_THOUGHTS = "reasoning.encrypted_content"
# `include` asks for more than the default answer. Of the tools that the others tell more about, no engine runs any.
INCLUDES = (
    LOGPROBS,
    SEALED_THOUGHTS,
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)
MAX_TOP_LOGPROBS = 20


def refuse_unserved(request: ResponsesRequest) -> None:
    """Return if the request asks for nothing that is not served.

    Raises:
        RequestError: naming the first parameter that does, or whose number makes no sense.
    """
    for name, value in zip(REFUSED_UNLESS, _refusable(request), strict=True):
        if value is not None and value not in REFUSED_UNLESS[name]:
            raise UnsupportedError(f"'{name}' is not supported by this server.", param=name)
    if request.reasoning is not None:
        for name, harmless in REASONING_REFUSED_UNLESS.items():
            if (value := getattr(request.reasoning, name)) not in harmless:
                raise UnsupportedError(
                    f"'reasoning.{name}' is not supported by this server: '{value}'.", param=f"reasoning.{name}"
                )
    for index, wanted in enumerate(request.include or []):
        if wanted not in INCLUDES:
            raise UnsupportedError(f"include '{wanted}' is not supported by this server.", param=f"include[{index}]")
    _check_range("max_output_tokens", request.max_output_tokens, least=1)
    _check_range("max_tool_calls", request.max_tool_calls, least=0)
    _check_range("top_logprobs", request.top_logprobs, least=0, most=MAX_TOP_LOGPROBS)


def _check_range(name: str, value: int | None, *, least: int, most: int | None = None) -> None:
    """Return if the number is none or in its range. Raises RequestError in OpenAI's words."""
    if value is not None and value < least:
        raise RequestError(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value} instead.",
            param=name,
            code="integer_below_min_value",
        )
    if value is not None and most is not None and value > most:
        raise RequestError(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}, but got {value} instead.",
            param=name,
            code="integer_above_max_value",
        )


def wants_logprobs(request: ResponsesRequest) -> bool:
    """Whether the caller asks for the log-probabilities of the text."""
    return bool(request.top_logprobs) or LOGPROBS in (request.include or ())


def wants_sealed_thoughts(request: ResponsesRequest) -> bool:
    """Whether the caller asks for thoughts under seal beside those in the clear. Clients that have nothing stored send
    no others back.
    """
    return SEALED_THOUGHTS in (request.include or ())


def forgets_thoughts(request: ResponsesRequest) -> bool:
    """Whether the thoughts of earlier turns are left out."""
    return request.reasoning is not None and request.reasoning.context == "current_turn"


def most_calls(request: ResponsesRequest) -> int | None:
    """Return how many tools the answer may call; None if nothing limits them. Calls in one answer are parallel ones."""
    if request.parallel_tool_calls is not False:
        return request.max_tool_calls
    return 1 if request.max_tool_calls is None else min(request.max_tool_calls, 1)


def to_chat(
    request: ResponsesRequest,
    settings: ProfileSettings,
    toolbox: Toolbox,
    messages: list[Message],
    asked: SideChannel = NOTHING,
) -> dict[str, Any]:
    """Return the body of the engine's chat completion request. `asked` is what the request's metadata asks for.

    Raises:
        RequestError: naming the parameter that cannot be converted.
    """
    body = {name: value for name, value in zip(SAME_NAME, _of_same_name(request), strict=True) if value is not UNSET}
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    if request.reasoning and request.reasoning.effort:
        body["reasoning_effort"] = request.reasoning.effort
    if request.text and request.text.verbosity:
        body["verbosity"] = request.text.verbosity
    if request.text and request.text.format and (wanted := formats.response_format(request.text.format)):
        body["response_format"] = wanted
    if request.chat_template_kwargs:
        body["chat_template_kwargs"] = request.chat_template_kwargs
    if wants_logprobs(request):
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    body |= _tool_fields(request, toolbox)
    return settings.engine_body(body, messages, asked)


def _tool_fields(request: ResponsesRequest, toolbox: Toolbox) -> dict[str, Any]:
    """Return the fields about tools. Without tools the engine hears nothing of them, not even that none is wanted."""
    if not toolbox.chat_tools:
        return {}
    fields: dict[str, Any] = {"tools": toolbox.chat_tools}
    if toolbox.choice is not None:
        fields["tool_choice"] = toolbox.choice
    if toolbox.at_most == 1:
        fields["parallel_tool_calls"] = False
    elif request.parallel_tool_calls is not UNSET:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields
