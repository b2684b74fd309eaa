"""What an answer was: whether it is empty, and why. Pure."""

from enum import StrEnum


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
    Cause.NO_TOKENS: "The engine generated nothing: the first token ended the answer. Check the chat template and stop words.",
    Cause.REASONING_ONLY: "The model thought and then said nothing. Raise max_output_tokens or lower the reasoning effort.",
    Cause.PARSER_ATE_IT: "Tokens were generated but the engine returned no content: its tool or reasoning parser "
    "took them. Check that the parser flags match the model.",
    Cause.REFUSAL: "The model refused.",
    Cause.CONTENT_FILTER: "A content filter ended the answer before any text.",
    Cause.LENGTH_BEFORE_TEXT: "The output limit was reached before any text. Raise max_output_tokens.",
}
