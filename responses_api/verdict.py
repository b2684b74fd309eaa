"""What an answer was: whether it is empty, and why. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum

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
}


def classify(said: Generation) -> Cause | None:
    """Return why the answer is empty; None if it holds text or a tool call.

    Text of nothing but white space is none. vLLM counts the end token, so one generated token is no token.
    """
    if said.calls or said.text.strip():
        return None
    if said.refusal:
        return Cause.REFUSAL
    if said.finish_reason == "content_filter":
        return Cause.CONTENT_FILTER
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
# for one. From vLLM's OpenAI server and input processor, versions 0.6 to 0.32.
_SENTENCES = [
    re.compile(sentence)
    for sentence in (
        r"This model's maximum context length is (?P<limit>\d+) tokens\. However, you(?:r| requested)\b",
        r"'?max_(?:completion_|output_)?tokens'?.{0,40} is too large: .{0,40}maximum context length is (?P<limit>\d+)",
        r"max_(?:completion_|output_)?tokens=\d+ cannot be greater than max_(?:model_len|total_tokens)=(?P<limit>\d+)",
        r"(?:The )?(?:\w+ )?[Pp]rompt \(length \d+\).{0,70} longer than the maximum model length of (?P<limit>\d+)",
        r"The engine prompt length \d+ exceeds the max_model_len (?P<limit>\d+)",
        r"Input length \(\d+\) exceeds model's maximum context length \((?P<limit>\d+)\)",
    )
]
_PROMPT = re.compile(
    r"(\d+) in the (?:messages|prompt)|(?:contains|has) (?:at least )?(\d+) input tokens"
    r"|\(length (\d+)\)|prompt length (\d+)|Input length \((\d+)\)"
)
_ASKED = re.compile(
    r"(\d+) in the completion|you requested (\d+) output tokens|is too large: (\d+)|tokens=(\d+) cannot be greater"
)
# Some versions put the exception's name before its text.
_EXCEPTION = re.compile(r"^(?:[\w.]*(?:Error|Exception): )+")
# 500 too: some versions raise where they mean to refuse.
_STATUSES = frozenset({400, 500})


def overflow(status: int, message: str) -> Overflow | None:
    """Return what an engine's error says about its context, given its HTTP status and its error's own message; None if
    it is about something else.
    """
    text = _EXCEPTION.sub("", message.strip())
    found = next((match for sentence in _SENTENCES if (match := sentence.match(text))), None)
    if found is None or status not in _STATUSES:
        return None
    return Overflow(message, limit=int(found["limit"]), prompt=_number(_PROMPT, text), asked=_number(_ASKED, text))


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(next(filter(None, found.groups()))) if found else None
