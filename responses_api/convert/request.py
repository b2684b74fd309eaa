"""A /v1/responses request to an engine's chat completion request. Pure."""

from typing import Any

from msgspec import UNSET

from responses_api.convert import items, tools
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import RequestError, UnsupportedError
from responses_api.wire import ResponsesRequest

# Sent under the same name, nulls included: an explicit null beats the profile's `extra_body`.
SAME_NAME = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "user",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "stop_token_ids",
    "min_tokens",
    "ignore_eos",
    "repetition_penalty",
    "logit_bias",
    "bad_words",
    "skip_special_tokens",
    "include_stop_str_in_output",
    "thinking_token_budget",
)

# Known features that are not served, and the values that ask for none of it.
REFUSED_UNLESS: dict[str, tuple[Any, ...]] = {
    "stream_options": (None, {}, {"include_obfuscation": False}),
    "background": (None, False),
    "previous_response_id": (None,),
    "conversation": (None,),
    "prompt": (None,),
    "truncation": (None, "disabled"),
    "max_tool_calls": (None,),
    "top_logprobs": (None, 0),
    "prompt_cache_retention": (None,),
    "context_management": (None,),
}

# `include` asks for more than the default answer. Reasoning always comes, in the clear, so there is nothing to encrypt.
INCLUDES = frozenset({"reasoning.encrypted_content"})


def refuse_unserved(request: ResponsesRequest) -> None:
    """Return if the request asks for nothing that is not served.

    Raises:
        UnsupportedError: naming the first parameter that does.
    """
    for name, harmless in REFUSED_UNLESS.items():
        if getattr(request, name) not in harmless:
            raise UnsupportedError(f"'{name}' is not supported by this server.", param=name)
    for index, wanted in enumerate(request.include or []):
        if wanted not in INCLUDES:
            raise UnsupportedError(f"include '{wanted}' is not supported by this server.", param=f"include[{index}]")


def to_chat(request: ResponsesRequest, settings: ProfileSettings) -> dict[str, Any]:
    """Return the body of the engine's chat completion request.

    Raises:
        RequestError: naming the parameter that cannot be converted.
    """
    body = {name: value for name in SAME_NAME if (value := getattr(request, name)) is not UNSET}
    if request.max_output_tokens is not None:
        if request.max_output_tokens < 1:
            raise RequestError("max_output_tokens is at least 1.", param="max_output_tokens")
        body["max_tokens"] = request.max_output_tokens
    if request.reasoning and request.reasoning.effort:
        body["reasoning_effort"] = request.reasoning.effort
    if request.text and request.text.verbosity:
        body["verbosity"] = request.text.verbosity
    if request.text and request.text.format and (wanted := tools.response_format(request.text.format)):
        body["response_format"] = wanted
    if request.chat_template_kwargs:
        body["chat_template_kwargs"] = request.chat_template_kwargs
    body |= _tool_fields(request)
    return settings.engine_body(body, items.messages(request.input, request.instructions, settings))


def _tool_fields(request: ResponsesRequest) -> dict[str, Any]:
    """Return the fields about tools. Without tools the engine hears nothing of them, not even that none is wanted."""
    given = tools.read_tools(request.tools or [])
    choice = None if request.tool_choice is None else tools.chat_choice(request.tool_choice, given)
    if not given:
        return {}
    fields: dict[str, Any] = {"tools": [tools.chat_tool(tool) for tool in given]}
    if choice is not None:
        fields["tool_choice"] = choice
    if request.parallel_tool_calls is not UNSET:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields
