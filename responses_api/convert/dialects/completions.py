"""Text completions, for base models: one prompt in, text out. Pure."""

from typing import Any

from responses_api import wire
from responses_api.convert.dialects.dialect import Dialect
from responses_api.errors import UnsupportedError

BETWEEN_MESSAGES = "\n\n"
SYSTEM_ROLES = frozenset({"system", "developer"})

# What only chat completions understand. Anything else is sent under the same name.
CHAT_ONLY = frozenset(
    {
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "logprobs",
        "top_logprobs",
        "max_completion_tokens",
        "chat_template",
        "chat_template_kwargs",
        "add_generation_prompt",
        "continue_final_message",
        "documents",
        "mm_processor_kwargs",
        "reasoning_effort",
        "include_reasoning",
        "verbosity",
        "modalities",
        "metadata",
        "store",
        "service_tier",
    }
)
_TOKEN_ID = "token_id:"  # noqa: S105  (tokens of text)


class Completions(Dialect):
    """One user message, with or without a system message before it, as plain text."""

    path = "completions"

    def __init__(self, input_param: str) -> None:
        """`input_param` is what callers name the conversation."""
        self._input_param = input_param
        self._begun: set[int] = set()

    def body(self, chat: dict[str, Any]) -> bytes:
        """Return the completion request. Raises RequestError if the conversation is more than a prompt."""
        if chat.get("tools"):
            raise UnsupportedError("A model that is asked for text completions takes no tools.", param="tools")
        return wire.encode({**engine_settings(chat), "prompt": self._prompt(chat["messages"])})

    def of_prompt(self, chat: dict[str, Any]) -> dict[str, Any]:
        """Return the prompt itself."""
        return {"model": chat["model"], "prompt": self._prompt(chat["messages"])}

    def _prompt(self, messages: list[Any]) -> str:
        roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
        if roles[-1:] != ["user"] or len(roles) > 2 or not SYSTEM_ROLES.issuperset(roles[:-1]):  # noqa: PLR2004
            raise UnsupportedError(
                "A model that is asked for text completions takes one user message, and a system message before it.",
                param=self._input_param,
            )
        return BETWEEN_MESSAGES.join(filter(None, (self._text(message.get("content")) for message in messages)))

    def _text(self, content: Any) -> str:
        if isinstance(content, str):
            return content
        texts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
            for part in (content if isinstance(content, list) else [None])
        ]
        if not all(isinstance(text, str) for text in texts):
            raise UnsupportedError(
                "A model that is asked for text completions takes nothing but text.", param=self._input_param
            )
        return "".join(text for text in texts if text)

    def answer(self, raw: bytes) -> bytes:
        """Return the completion as a chat completion. One that does not say why it ended just stopped."""
        given = wire.text_completion(raw)
        chat = {
            **_head(given),
            "object": "chat.completion",
            "choices": [_choice(choice) for choice in given.choices],
            "usage": given.usage,
        }
        return wire.encode({**chat, **self.prompt_ids(given)})

    def chunk(self, data: bytes) -> bytes:
        """Return the piece of a completion as a chunk. Errors look the same in both."""
        given = wire.text_completion(data)
        if given.is_error:
            return data
        begins = not self._begun
        chat: dict[str, Any] = {
            **_head(given),
            "object": "chat.completion.chunk",
            "choices": [self._piece(choice) for choice in given.choices],
        }
        if given.usage is not None:
            chat["usage"] = given.usage
        return wire.encode({**chat, **self.prompt_ids(given)} if begins else chat)

    def prompt_ids(self, given: wire.TextCompletion) -> dict[str, Any]:
        """Return the ids of the prompt's tokens, if they are there, as chat completions hold them."""
        found = next((choice.prompt_token_ids for choice in given.choices), None)
        return {} if found is None else {"prompt_token_ids": found}

    def _piece(self, choice: wire.TextChoice) -> dict[str, Any]:
        begins = {} if choice.index in self._begun else {"role": "assistant"}
        self._begun.add(choice.index)
        delta = {**begins, "content": choice.text or ""}
        return {"index": choice.index, "delta": delta, "finish_reason": choice.finish_reason, **_more(choice)}


def engine_settings(chat: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion request without what only chat completions understand."""
    body = {name: value for name, value in chat.items() if name not in CHAT_ONLY}
    if (most := chat.get("max_completion_tokens")) is not None:
        body["max_tokens"] = most
    if chat.get("logprobs") or chat.get("top_logprobs"):
        body["logprobs"] = chat.get("top_logprobs") or 0
    if chat.get("return_tokens_as_token_ids"):
        body["return_token_ids"] = True
    return body


def _head(given: wire.TextCompletion) -> dict[str, Any]:
    return {"id": given.id or "", "created": given.created or 0, "model": given.model or ""}


def _choice(choice: wire.TextChoice) -> dict[str, Any]:
    message = {"role": "assistant", "content": choice.text}
    reason = choice.finish_reason or "stop"
    return {"index": choice.index, "message": message, "finish_reason": reason, **_more(choice)}


def _more(choice: wire.TextChoice) -> dict[str, Any]:
    """Return what both forms of a choice hold if it is there."""
    more: dict[str, Any] = {"logprobs": None if choice.logprobs is None else chat_logprobs(choice.logprobs)}
    for name in ("token_ids", "stop_reason", "routed_experts"):
        if (value := getattr(choice, name)) is not None:
            more[name] = value
    return more


def chat_logprobs(given: wire.TextLogprobs) -> dict[str, Any]:
    """Return the log-probs as chat completions have them, token by token."""
    tops = given.top_logprobs or [None] * len(given.tokens)
    content = [
        {**_entry(token, value), "top_logprobs": [_entry(*pair) for pair in (top or {}).items()]}
        for token, value, top in zip(given.tokens, given.token_logprobs, tops, strict=False)
    ]
    return {"content": content}


def _entry(token: str, value: float | None) -> dict[str, Any]:
    known = None if token.startswith(_TOKEN_ID) else list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": value, "bytes": known}
