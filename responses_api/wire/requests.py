"""The body of POST /v1/responses. Pure."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from responses_api.errors import RequestError
from responses_api.wire.reading import decoded, json_object, read


class TextConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`text` of a request."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`reasoning` of a request."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class ResponsesRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/responses. Fields that default to UNSET are told apart from an explicit null.

    docs/converters.md says of each what becomes of it.
    """

    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_tool_calls: int | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None

    # Hints, for servers that have use for them: taken, and echoed where the resource has a place.
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    client_metadata: dict[str, Any] | None = None

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
    length_penalty: float | UnsetType | None = UNSET
    logit_bias: dict[str, float] | UnsetType | None = UNSET
    bad_words: list[str] | UnsetType | None = UNSET
    allowed_token_ids: list[int] | UnsetType | None = UNSET
    skip_special_tokens: bool | UnsetType | None = UNSET
    spaces_between_special_tokens: bool | UnsetType | None = UNSET
    include_stop_str_in_output: bool | UnsetType | None = UNSET
    truncate_prompt_tokens: int | UnsetType | None = UNSET
    truncation_side: Literal["left", "right"] | UnsetType | None = UNSET
    add_generation_prompt: bool | UnsetType | None = UNSET
    continue_final_message: bool | UnsetType | None = UNSET
    add_special_tokens: bool | UnsetType | None = UNSET
    include_reasoning: bool | UnsetType | None = UNSET
    thinking_token_budget: int | UnsetType | None = UNSET
    documents: list[dict[str, Any]] | UnsetType | None = UNSET
    chat_template: str | UnsetType | None = UNSET
    media_io_kwargs: dict[str, Any] | UnsetType | None = UNSET
    mm_processor_kwargs: dict[str, Any] | UnsetType | None = UNSET
    structured_outputs: dict[str, Any] | UnsetType | None = UNSET
    repetition_detection: dict[str, Any] | UnsetType | None = UNSET
    watermarking: bool | UnsetType | None = UNSET
    priority: int | UnsetType | None = UNSET
    cache_salt: str | UnsetType | None = UNSET
    stream_interval: int | UnsetType | None = UNSET
    vllm_xargs: dict[str, Any] | UnsetType | None = UNSET
    chat_template_kwargs: dict[str, Any] | None = None

    # Known, and refused unless they ask for nothing: convert/request.py says what nothing is.
    stream_options: dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    context_management: list[dict[str, Any]] | None = None
    n: int | None = None
    moderation: dict[str, Any] | None = None
    access_programs: dict[str, Any] | None = None
    image: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(ResponsesRequest)


def responses_request(body: bytes) -> ResponsesRequest:
    """Return the request. What it continues may be all that it says.

    Raises:
        RequestError: naming the parameter that is malformed, missing, unknown or of a wrong type.
    """
    found = _read(body)
    if found.input is None and found.previous_response_id is None and found.conversation is None:
        raise RequestError("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    return found


def _read(body: bytes) -> ResponsesRequest:
    """Return the request. JSON knows one kind of number: 16.0 is a whole one. Raises RequestError."""
    try:
        return decoded(_decoder, body)
    except RequestError as error:
        if error.code != "invalid_type" or error.param is None:
            raise
    given = json_object(body)
    return read({name: _whole(value) for name, value in given.items()}, ResponsesRequest, "")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
