"""The shapes of what comes in: requests of /v1/responses, and an engine's chat completions. Pure.

Requests are strict: an unknown field at the top, in a tool or in a setting is refused by name. Items and content parts
keep to their documented fields and let others pass unread, because clients replay whatever a server once sent them.
Answers of engines are read tolerantly: whatever can be understood is, and the rest is the caller's `BadAnswerError`.
"""

from responses_api.wire.answers import (
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    Choice,
    ChunkChoice,
    ErrorDetail,
    Function,
    ToolCall,
    completion_decoder,
    engine_error,
    status_of_error,
)
from responses_api.wire.completions import TextChoice, TextCompletion, TextLogprobs, text_completion
from responses_api.wire.messages import Block, Message, MessageEvent, message, message_event
from responses_api.wire.reading import bad_shape, check_types, encode, json_object, object_decoder, read, too_deep
from responses_api.wire.requests import ReasoningConfig, ResponsesRequest, TextConfig, responses_request

__all__ = [
    "Block",
    "ChatChunk",
    "ChatCompletion",
    "ChatMessage",
    "Choice",
    "ChunkChoice",
    "ErrorDetail",
    "Function",
    "Message",
    "MessageEvent",
    "ReasoningConfig",
    "ResponsesRequest",
    "TextChoice",
    "TextCompletion",
    "TextConfig",
    "TextLogprobs",
    "ToolCall",
    "bad_shape",
    "check_types",
    "completion_decoder",
    "encode",
    "engine_error",
    "json_object",
    "message",
    "message_event",
    "object_decoder",
    "read",
    "responses_request",
    "status_of_error",
    "text_completion",
    "too_deep",
]
