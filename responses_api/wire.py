"""The shapes of what comes in: requests of /v1/responses, and an engine's chat completions. Pure.

Requests are strict: an unknown field at the top, in a tool or in a setting is refused by name. Items and content parts
keep to their documented fields and let others pass unread, because clients replay whatever a server once sent them.
Answers of engines are read tolerantly: whatever can be understood is, and the rest is the caller's `BadAnswerError`.
"""

import re
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from responses_api.errors import RequestError

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


class TextConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`text` of a request."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`reasoning` of a request."""

    effort: str | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/responses. Fields that default to UNSET are told apart from an explicit null."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    metadata: dict[str, str] | None = None
    include: list[str] | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    max_output_tokens: int | None = None

    # Sent to the engine under the same name.
    temperature: float | UnsetType | None = UNSET
    top_p: float | UnsetType | None = UNSET
    presence_penalty: float | UnsetType | None = UNSET
    frequency_penalty: float | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    # The engine's own, beyond OpenAI's.
    top_k: int | UnsetType | None = UNSET
    min_p: float | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    stop: str | list[str] | UnsetType | None = UNSET
    stop_token_ids: list[int] | UnsetType | None = UNSET
    min_tokens: int | UnsetType | None = UNSET
    ignore_eos: bool | UnsetType | None = UNSET
    repetition_penalty: float | UnsetType | None = UNSET
    logit_bias: dict[str, float] | UnsetType | None = UNSET
    bad_words: list[str] | UnsetType | None = UNSET
    skip_special_tokens: bool | UnsetType | None = UNSET
    include_stop_str_in_output: bool | UnsetType | None = UNSET
    thinking_token_budget: int | UnsetType | None = UNSET
    chat_template_kwargs: dict[str, Any] | None = None

    # Known, and refused unless they ask for nothing: convert/request.py says what nothing is.
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    max_tool_calls: int | None = None
    top_logprobs: int | None = None
    prompt_cache_retention: str | None = None
    context_management: list[dict[str, Any]] | None = None


class Function(msgspec.Struct):
    """The function of a tool call. vLLM sends text; some servers send the arguments as an object."""

    name: str | None = None
    arguments: Any = None


class ToolCall(msgspec.Struct):
    """One entry of `tool_calls`, or a piece of it in a stream, where `index` tells parallel calls apart."""

    id: str | None = None
    function: Function | None = None
    index: int | None = None


class ChatMessage(msgspec.Struct):
    """What the model said. vLLM calls its reasoning field `reasoning`; others, and older ones, `reasoning_content`."""

    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class Choice(msgspec.Struct):
    """One of the completions; the gateway asks for one."""

    message: ChatMessage
    finish_reason: str | None = None


class ChatCompletion(msgspec.Struct):
    """An engine's answer."""

    choices: list[Choice]
    usage: dict[str, Any] | None = None


class ChunkChoice(msgspec.Struct):
    """What a chunk adds to one of the completions."""

    delta: ChatMessage | None = None
    index: int = 0
    finish_reason: str | None = None


class ChatChunk(msgspec.Struct):
    """One piece of an engine's streamed answer; the usage comes in one without choices."""

    choices: list[ChunkChoice] = []
    usage: dict[str, Any] | None = None
    error: Any = None


class ErrorDetail(msgspec.Struct):
    """What engines put into an error."""

    message: str = ""
    param: Any = None
    code: Any = None


_responses_decoder = msgspec.json.Decoder(ResponsesRequest)
object_decoder = msgspec.json.Decoder(dict[str, Any])
_any_decoder = msgspec.json.Decoder()
completion_decoder = msgspec.json.Decoder(ChatCompletion)


def responses_request(body: bytes) -> ResponsesRequest:
    """Return the request.

    Raises:
        RequestError: naming the parameter that is malformed, missing, unknown or of a wrong type.
    """
    return _decode(_responses_decoder, body)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the body's JSON object.

    Raises:
        RequestError: if it is something else.
    """
    return _decode(object_decoder, body)


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise bad_shape(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"The request body is not valid JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise RequestError("The request body is nested too deeply.", code="invalid_json") from None


def read(value: Any, kind: type[T], at: str) -> T:
    """Return the value as an instance of `kind`. `at` is its place in the request.

    Raises:
        RequestError: naming the parameter inside `at` that does not fit.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise bad_shape(str(error), at) from None


_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (?:contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL)


def bad_shape(problem: str, at: str = "") -> RequestError:
    """Return msgspec's complaint as an error that names the parameter, as `input[2].content[0].text`."""
    place = _PLACE.match(problem)
    what, path = (place["what"], place["path"] or "$") if place else (problem, "$")
    param = (at + path.removeprefix("$")).removeprefix(".")
    if field := _FIELD.match(what):
        param = f"{param}.{field['name']}".removeprefix(".")
        if "unknown" in what:
            return RequestError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
        return RequestError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    if what.startswith("Expected"):
        where = f"'{param}'" if param else "the request body"
        return RequestError(
            f"Invalid type for {where}: {what[0].lower()}{what[1:]}.", param=param or None, code="invalid_type"
        )
    return RequestError(f"Invalid value for '{param}': {what}.", param=param or None)


def engine_error(body: bytes) -> ErrorDetail:
    """Return what an engine said in an error, in whichever of the usual shapes; empty if it said nothing readable.

    vLLM sends `{"error": {…}}`, older ones the object itself, its authentication `{"error": "text"}`, and FastAPI
    `{"detail": …}`.
    """
    try:
        said = _any_decoder.decode(body)
    except (ValueError, RecursionError):
        return ErrorDetail()
    for name in ("error", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    if isinstance(said, str):
        return ErrorDetail(said)
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return ErrorDetail()
    return ErrorDetail(said["message"], said.get("param"), said.get("code"))
