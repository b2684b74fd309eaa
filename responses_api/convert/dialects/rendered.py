"""A whole conversation as a text completion: the engine's own chat template renders it. Pure."""

from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert.answer import Question
from responses_api.convert.dialects.completions import Completions, engine_settings
from responses_api.errors import BadAnswerError, UnsupportedError

# What of a chat completion request its prompt depends on, and `/tokenize` takes.
RENDERED = ("model", "messages", "tools", "chat_template", "mm_processor_kwargs")
# What chat completions hand to the template themselves.
FOR_THE_TEMPLATE = ("reasoning_effort", "documents")


class Tokens(msgspec.Struct):
    """The answer of `/tokenize`."""

    tokens: list[int]
    max_model_len: int | None = None


_decoder = msgspec.json.Decoder(Tokens)


class Rendered(Completions):
    """`/tokenize` renders the conversation, and its tokens are the prompt.

    What the model says of tools stays in its text: no parser of the engine looks at completions.
    """

    asks_before = True

    def __init__(self, input_param: str) -> None:
        """`input_param` is what callers name the conversation."""
        super().__init__(input_param)
        self._rendered = Tokens([])

    def before(self, chat: dict[str, Any]) -> Question:
        """Return the request to render. Raises UnsupportedError for a choice of tools that nobody would enforce."""
        if chat.get("tool_choice") not in (None, "auto", "none"):
            raise UnsupportedError(
                "A model that is asked for text completions cannot be made to call a tool.", param="tool_choice"
            )
        body = {name: chat[name] for name in RENDERED if chat.get(name) is not None}
        if chat.get("tool_choice") == "none":
            body.pop("tools", None)
        given = chat.get("chat_template_kwargs") or {}
        more = {name: chat[name] for name in FOR_THE_TEMPLATE if chat.get(name) is not None}
        if given or more:  # what is no object the engine refuses
            body["chat_template_kwargs"] = {**more, **given} if isinstance(given, dict) else given
        continues = bool(chat.get("continue_final_message"))
        body["add_generation_prompt"] = chat.get("add_generation_prompt", not continues)
        body["continue_final_message"] = continues
        return Question("/tokenize", wire.encode(body))

    def of_prompt(self, chat: dict[str, Any]) -> dict[str, Any]:
        """Return what is rendered."""
        return chat

    def hear(self, raw: bytes) -> None:
        """Take the tokens."""
        try:
            self._rendered = _decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's tokens cannot be read: {error}") from None

    def body(self, chat: dict[str, Any]) -> bytes:
        """Return the completion request. Without a limit of the caller's, the answer may fill the context: a completion
        would otherwise end after the 16 tokens that the API takes for a default.
        """
        body = {**engine_settings(chat), "prompt": self._rendered.tokens}
        if body.get("max_tokens") is None and self._rendered.max_model_len is not None:
            body["max_tokens"] = max(self._rendered.max_model_len - len(self._rendered.tokens), 1)
        return wire.encode(body)

    def prompt_ids(self, given: wire.TextCompletion) -> dict[str, Any]:
        """Return the ids of the prompt's tokens, which are known, where the engine tells those of its answer."""
        told = any(choice.token_ids is not None for choice in given.choices)
        return {"prompt_token_ids": self._rendered.tokens} if told else {}
