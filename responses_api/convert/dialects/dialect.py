"""What every dialect does, and the one in which there is nothing to do. Pure."""

from typing import Any

from responses_api import wire
from responses_api.convert.answer import Question


class Dialect:
    """How an engine is asked, and how its words become a chat completion; here they are one.

    A dialect lives for one request, unless it remembers nothing.
    """

    path = "chat/completions"
    conversation = "messages"  # the field that holds it
    cap = "max_tokens"  # the field that limits the answer
    asks_before = False  # whether something must be asked before the request itself
    ended = False  # whether the stream is over: for APIs that do not say [DONE]

    def before(self, chat: dict[str, Any]) -> Question | None:  # noqa: ARG002
        """Return what must be asked before the chat completion can be asked for."""
        return None

    def of_prompt(self, chat: dict[str, Any]) -> dict[str, Any]:
        """Return what `/tokenize` can be told of a request, so that it makes the same prompt."""
        return chat

    def hear(self, raw: bytes) -> None:  # noqa: ARG002
        """Take the answer to that. Raises BadAnswerError."""
        return

    def body(self, chat: dict[str, Any]) -> bytes:
        """Return what the engine is sent for a chat completion request. Raises RequestError."""
        return wire.encode(chat)

    def answer(self, raw: bytes) -> bytes:
        """Return the engine's answer as a chat completion. Raises EngineError."""
        return raw

    def chunk(self, data: bytes) -> bytes:
        """Return the data of an event as a chunk of a chat completion; an error as one. Raises BadAnswerError."""
        return data


CHAT = Dialect()
