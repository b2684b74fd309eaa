"""The tokens of a prompt and of its answer as numbers, for those who train on them. Pure.

Engines tell them in one of three ways, in this order:

1. The message holds `prompt_token_ids`, `generation_token_ids` and `generation_log_probs`.
2. The answer holds `prompt_token_ids`, its choice `token_ids`, and each log-probability's token is `token_id:N`.
3. The log-probabilities alone; then `/tokenize` is asked for the prompt.

What is there in part, or twice and not the same, is the engine's error: wrong numbers would be trained on in silence.
"""

from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert import logprobs
from responses_api.convert.answer import Question
from responses_api.errors import BadAnswerError

PATH = "/tokenize"
# What of the engine's request makes its prompt, and `/tokenize` takes.
OF_PROMPT = (
    "model",
    "messages",
    "prompt",
    "tools",
    "chat_template_kwargs",
    "mm_processor_kwargs",
    "required_prefix_token_ids",
)
TRIPLE = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")


class _Tokenized(msgspec.Struct):
    tokens: list[int]


_tokenized = msgspec.json.Decoder(_Tokenized)


class TokenIds:
    """The tokens of one answer, gathered from it whole or in chunks."""

    def __init__(self) -> None:
        self._triple: dict[str, Any] = {}
        self._prompt: list[int] | None = None
        self._generated: list[int] | None = None
        self._named: list[int] | None = None  # by the log-probabilities
        self._logprobs: list[Any] = []
        self._unnamed = ""  # a token that they call by its text
        self._routed_experts: Any = None
        self._heard: list[int] | None = None  # from /tokenize

    @classmethod
    def of(cls, completion: wire.ChatCompletion) -> "TokenIds":
        """Return those of a whole answer. Raises BadAnswerError."""
        ids, choice = cls(), completion.choices[0]
        ids._add(completion.prompt_token_ids, choice, choice.message)
        return ids

    def add(self, chunk: wire.ChatChunk) -> None:
        """Take a piece of a streamed answer. Raises BadAnswerError."""
        choice = next((choice for choice in chunk.choices if choice.index == 0), None)
        self._add(chunk.prompt_token_ids, choice, choice.delta if choice is not None else None)

    def _add(
        self, prompt: Any, choice: wire.Choice | wire.ChunkChoice | None, message: wire.ChatMessage | None
    ) -> None:
        if prompt is not None:
            self._prompt = _numbers(prompt, "prompt_token_ids")
        if message is not None:
            for name in TRIPLE:
                if (given := getattr(message, name)) is not None:
                    self._triple[name] = given
        if choice is None:
            return
        self._routed_experts = choice.routed_experts or (message and message.routed_experts) or self._routed_experts
        if choice.token_ids is not None:
            self._generated = [*(self._generated or ()), *_numbers(choice.token_ids, "token_ids")]
        content = choice.logprobs.get("content") if isinstance(choice.logprobs, dict) else None
        if isinstance(content, list):
            self._named = [*(self._named or ()), *map(self._number, content)]

    def _number(self, entry: Any) -> int:
        token = str(entry.get("token")) if isinstance(entry, dict) else ""
        kind, _, digits = token.rpartition(logprobs.TOKEN_ID)
        if kind or not digits.isdecimal() or token == digits:
            self._unnamed = repr(token)
            return 0
        self._logprobs.append(entry.get("logprob"))
        return int(digits)

    def question(self, sent: dict[str, Any]) -> Question | None:
        """Return what is asked for the prompt's tokens, given the engine's request; None if they are there.

        Raises:
            BadAnswerError: if the answer itself does not tell its tokens.
        """
        if self._triple or self._prompt is not None or self._generated is not None:
            return None
        self._generation()
        return Question(PATH, wire.encode({name: sent[name] for name in OF_PROMPT if name in sent}))

    def hear(self, raw: bytes) -> None:
        """Take the answer of `/tokenize`. Raises BadAnswerError."""
        try:
            self._heard = _tokenized.decode(raw).tokens
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's tokens of the prompt cannot be read: {error}") from None

    def fields(self, *, is_silent: bool) -> dict[str, Any]:
        """Return the fields that tell the tokens of an answer, which says nothing if it `is_silent`.

        Raises:
            BadAnswerError: if they are not known for certain.
        """
        found = self._of_message() if self._triple else self._of_choice()
        ids, scores = found["generation_token_ids"], found["generation_log_probs"]
        if not isinstance(scores, list) or not all(type(score) in {int, float} for score in scores):
            raise BadAnswerError("The engine's log-probabilities are not a list of numbers.")
        if len(ids) != len(scores):
            raise BadAnswerError(f"The engine sent {len(ids)} token ids and {len(scores)} log-probabilities of them.")
        if not ids and not is_silent:
            raise BadAnswerError("The engine sent an answer, and no token ids of it.")
        return {**found, "routed_experts": self._routed_experts}

    def _of_message(self) -> dict[str, Any]:
        if missing := [name for name in TRIPLE if name not in self._triple]:
            raise BadAnswerError(f"The engine's message has {', '.join(self._triple)}, but not {', '.join(missing)}.")
        prompt = _numbers(self._triple["prompt_token_ids"], "prompt_token_ids")
        ids = _numbers(self._triple["generation_token_ids"], "generation_token_ids")
        if self._prompt not in (None, prompt) or self._generated not in (None, ids):
            raise BadAnswerError("The engine's answer and its message have different token ids.")
        return dict(zip(TRIPLE, (prompt, ids, self._triple["generation_log_probs"]), strict=True))

    def _of_choice(self) -> dict[str, Any]:
        ids = self._generation()
        if (self._prompt is None) is not (self._generated is None):
            there, missing = (
                ("token_ids", "prompt_token_ids") if self._prompt is None else ("prompt_token_ids", "token_ids")
            )
            raise BadAnswerError(f"The engine's answer has {there}, but no {missing}.")
        prompt = self._heard if self._prompt is None else self._prompt
        if prompt is None:
            raise BadAnswerError("The engine did not tell the tokens of the prompt.")
        return dict(zip(TRIPLE, (prompt, ids, self._logprobs), strict=True))

    def _generation(self) -> list[int]:
        """Return the tokens of the answer, as its log-probabilities name them."""
        named = self._named if self._named is not None or self._generated else self._generated
        if named is None:
            raise BadAnswerError("The engine did not tell the tokens of its answer: it sent no log-probabilities.")
        if self._unnamed:
            raise BadAnswerError(f"The engine's log-probabilities name tokens as {self._unnamed}, not as 'token_id:N'.")
        if self._generated not in (None, named):
            raise BadAnswerError("The engine's token_ids and its log-probabilities name different tokens.")
        return named


def _numbers(given: Any, name: str) -> list[int]:
    if isinstance(given, list) and all(type(one) is int for one in given):
        return given
    raise BadAnswerError(f"The engine's {name} are not a list of numbers.")
