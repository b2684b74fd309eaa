"""What an answer was: whether it is empty, and why. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from responses_api.convert.generation import Generation


class Cause(StrEnum):
    """Why an answer came back empty."""

    CONTEXT_OVERFLOW = "context_overflow"
    NO_TOKENS = "no_tokens"
    REASONING_ONLY = "reasoning_only"
    PARSER_ATE_IT = "parser_ate_it"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    LENGTH_BEFORE_TEXT = "length_before_text"
    CALLS_FORBIDDEN = "calls_forbidden"
    SEQUENTIAL_STOP = "sequential_stop"


ADVICE: dict[Cause, str] = {
    Cause.CONTEXT_OVERFLOW: "The prompt and the tokens asked for did not fit the engine's context. "
    "Raise max_model_len, shorten the history, or ask for fewer output tokens.",
    Cause.NO_TOKENS: "The engine generated nothing: the first token ended the answer. "
    "Check the chat template and stop words.",
    Cause.REASONING_ONLY: "The model thought and then said nothing. "
    "Raise max_output_tokens or lower the reasoning effort.",
    Cause.PARSER_ATE_IT: "Tokens were generated but the engine returned no content: its tool or reasoning parser "
    "took them. Check that the parser flags match the model.",
    Cause.REFUSAL: "The model refused.",
    Cause.CONTENT_FILTER: "A content filter ended the answer before any text.",
    Cause.LENGTH_BEFORE_TEXT: "The output limit was reached before any text. Raise max_output_tokens.",
    Cause.CALLS_FORBIDDEN: "The model did nothing but call tools that the request forbids: "
    "see its tool_choice and max_tool_calls.",
    Cause.SEQUENTIAL_STOP: "The conversation ended with reasoning alone, and the profile does not let a model go on "
    "from there, so no engine was asked: see 'sequential reasoning allowed'.",
}


def classify(said: Generation) -> Cause | None:
    """Return why the answer is empty; None if it holds text or a tool call.

    Text of nothing but white space is none. vLLM counts the end token, so one generated token is no token.
    """
    if said.calls or said.others or said.text.strip():
        return None
    if said.refusal:
        return Cause.REFUSAL
    if said.finish_reason == "content_filter":
        return Cause.CONTENT_FILTER
    if said.forbidden:
        return Cause.CALLS_FORBIDDEN
    if said.finish_reason == "length":
        return Cause.LENGTH_BEFORE_TEXT
    if said.thoughts:
        return Cause.REASONING_ONLY
    generated = (said.usage and said.usage.output_tokens) or 0
    return Cause.PARSER_ATE_IT if generated > 1 and not said.text else Cause.NO_TOKENS


@dataclass(frozen=True, slots=True)
class Overflow:
    """A request that did not fit the engine's context: its words, and its numbers (tokens) if it gave any."""

    message: str
    limit: int | None = None
    prompt: int | None = None
    asked: int | None = None


# Sentences from their beginning, so that a message that quotes somebody who talks about context lengths is not taken
# for one. What the prompt holds, and what was asked for, may come in the same sentence or behind it.
_SENTENCES = [
    re.compile(sentence, re.IGNORECASE)
    for sentence in (
        # vLLM's OpenAI server and input processor, versions 0.6 to 0.33; SGLang, LMDeploy and OpenAI say the first one
        # in much the same words.
        r"This (?:model|endpoint)'s maximum context length is (?P<limit>\d+) tokens[.,] however,? you(?:r| request)",
        r"'?max_(?:completion_|output_)?tokens'?.{0,40} is too large: .{0,40}maximum context length is (?P<limit>\d+)",
        r"max_(?:completion_|output_)?tokens=\d+ cannot be greater than max_(?:model_len|total_tokens)=(?P<limit>\d+)",
        r"(?:The )?(?:\w+ )?prompt \(length \d+\).{0,70} longer than the maximum model length of (?P<limit>\d+)",
        r"The prompt \(total length \d+\) is too long to fit into the model \(context length (?P<limit>\d+)\)",
        r"The engine prompt length \d+ exceeds the max_model_len (?P<limit>\d+)",
        r"Input length \(\d+\) exceeds model's maximum context length \((?P<limit>\d+)\)",
        # SGLang.
        r"The input \(\d+ tokens\) is longer than the model's context length \((?P<limit>\d+) tokens\)",
        r"Requested token count exceeds the model's maximum context length of (?P<limit>\d+) tokens",
        r"Input length \(\d+ tokens\) exceeds the maximum allowed length \((?P<limit>\d+) tokens\)",
        # Text Generation Inference.
        r"Input validation error: `inputs` tokens \+ `max_new_tokens` must be <= (?P<limit>\d+)\. Given: ",
        r"Input validation error: `inputs` must have less than (?P<limit>\d+) tokens\. Given: ",
        # llama.cpp, and its Python server.
        r"(?:the )?request (?:\(\d+ tokens\) )?exceeds the available context size(?: \((?P<limit>\d+) tokens\))?[.,]",
        r"Requested tokens \(\d+\) exceed context window of (?P<limit>\d+)",
    )
]
_PROMPT = re.compile(
    r"(\d+)(?: tokens)? in (?:the messages|the prompt|your prompt|the input)"
    r"|(?:contains|has|resulted in) (?:at least )?(\d+) (?:input )?tokens"
    r"|\((?:total )?length (\d+)\)|prompt length (\d+)|Input length \((\d+)|The input \((\d+)|request \((\d+) tokens"
    r"|(\d+) (?:tokens from the input|of text input|`inputs` tokens)|Given: (\d+)$"
)
_ASKED = re.compile(
    r"(\d+) (?:in|for) the completion|(\d+) (?:tokens for the completion|in the output|`max_new_tokens`|'max_tokens')"
    r"|you requested (\d+) output tokens|is too large: (\d+)|tokens=(\d+) cannot be greater"
)
# vLLM, of a prompt that fills the context: it then allows itself what is left, which is nothing. A caller who asks for
# nothing is answered in the same words.
_NOTHING_LEFT = re.compile(r"max_tokens must be at least 1, got -?\d+")
_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Some versions put the exception's name before its text.
_EXCEPTION = re.compile(r"^(?:[\w.]*(?:Error|Exception): )+")
# 500 too: some versions raise where they mean to refuse. 413 and 422 are other servers' 400.
_STATUSES = frozenset({400, 413, 422, 500})
_DIGITS = 15


def overflow(status: int, message: str, sent: Mapping[str, Any]) -> Overflow | None:
    """Return what an engine's error says about its context, given its HTTP status and its error's own message; None if
    it is about something else. `sent` holds the fields of the engine's request.
    """
    if status not in _STATUSES:
        return None
    text = _EXCEPTION.sub("", message.strip())
    found = next((match for sentence in _SENTENCES if (match := sentence.match(text))), None)
    if found is None:
        return Overflow(message) if _NOTHING_LEFT.match(text) and not _asks_for_nothing(sent) else None
    return Overflow(message, limit=_count(found["limit"]), prompt=_number(_PROMPT, text), asked=_number(_ASKED, text))


def _asks_for_nothing(sent: Mapping[str, Any]) -> bool:
    return any(isinstance(cap := sent.get(name), int) and cap < 1 for name in _CAPS)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return _count(next(filter(None, found.groups()))) if found else None


def _count(digits: str | None) -> int | None:
    """Return a number of tokens that can be one."""
    return int(digits) if digits and len(digits) <= _DIGITS else None
