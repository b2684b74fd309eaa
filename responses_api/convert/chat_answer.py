"""What becomes of a chat completion on its way back to a caller of the same API. Pure. The rest passes as it is."""

from typing import Any

from responses_api.convert import logprobs, think
from responses_api.convert.generation import said_in_content
from responses_api.convert.resource import Stamp
from responses_api.convert.think import Tags


def tag_thoughts(answer: dict[str, Any], tags: Tags) -> None:
    """Move each choice's reasoning into its content, tagged: clients that keep nothing but the content then send the
    thoughts back with the next turn, where `chat.history` finds them.
    """
    for choice in answer["choices"]:
        message = choice["message"]
        own = message.pop("reasoning", None)
        own = message.pop("reasoning_content", None) or own
        if own:
            message["content"] = think.wrap(own, tags) + said_in_content(message.get("content"))


def without_token_ids(answer: dict[str, Any], *, keep_logprobs: bool) -> None:
    """Leave out what the engine was asked for on the profile's account. Log-probabilities that the caller wants too are
    put into words again.
    """
    answer.pop("prompt_token_ids", None)
    for choice in answer.get("choices") or ():
        choice.pop("token_ids", None)
        choice.pop("routed_experts", None)
        scores = choice.get("logprobs")
        if not keep_logprobs:
            choice["logprobs"] = None
        elif isinstance(scores, dict) and isinstance(scores.get("content"), list):
            choice["logprobs"] = {**scores, "content": logprobs.in_words(scores)}


def emptied(model: str, stamp: Stamp, finish_reason: str = "length") -> dict[str, Any]:
    """Return the empty answer, to a prompt that does not fit."""
    message = {"role": "assistant", "content": None, "tool_calls": None}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    return {
        "id": stamp.response_id,
        "object": "chat.completion",
        "created": stamp.created_at,
        "model": model,
        "choices": [choice],
        "usage": None,
    }


def chunk(model: str, stamp: Stamp, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """Return a chunk of the gateway's own."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {
        "id": stamp.response_id,
        "object": "chat.completion.chunk",
        "created": stamp.created_at,
        "model": model,
        "choices": [choice],
    }
