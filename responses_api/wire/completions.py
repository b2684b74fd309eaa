"""What engines send on /v1/completions, whole or in chunks. Pure."""

from typing import Any

import msgspec

from responses_api.errors import BadAnswerError


class TextLogprobs(msgspec.Struct):
    """Log-probs as lists side by side, one entry a token."""

    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float | None] | None] | None = None


class TextChoice(msgspec.Struct):
    """One of the completions, or what a chunk adds to it."""

    index: int = 0
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    logprobs: TextLogprobs | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    routed_experts: Any = None


class TextCompletion(msgspec.Struct):
    """An engine's answer, or a chunk of it; the usage of a stream comes in a chunk without choices."""

    choices: list[TextChoice] = []
    id: str | None = None
    created: int | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    object: Any = None
    error: Any = None

    @property
    def is_error(self) -> bool:
        """Whether it tells of an error. Older engines send the bare object, without `error` around it."""
        return self.error is not None or self.object == "error"


_decoder = msgspec.json.Decoder(TextCompletion)


def text_completion(data: bytes) -> TextCompletion:
    """Return the completion or the chunk.

    Raises:
        BadAnswerError: if it is none.
    """
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"The engine's answer is not a completion: {error}") from None
