"""Empty answers and context overflows, by what engines really say."""

import pytest

from responses_api.convert.generation import Call, Generation, Usage
from responses_api.verdict import ADVICE, Cause, classify, overflow

ONE_TOKEN = Usage(input_tokens=5, output_tokens=1)
MANY_TOKENS = Usage(input_tokens=5, output_tokens=40)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (Generation(text="hello", usage=MANY_TOKENS), None),
        (Generation(calls=[Call("c1", "f", "{}")]), None),
        (Generation(text="cut off he", finish_reason="length"), None),
        (Generation(text="", usage=ONE_TOKEN, finish_reason="stop"), Cause.NO_TOKENS),
        (Generation(text="", usage=None), Cause.NO_TOKENS),
        (Generation(text="\n\n", usage=MANY_TOKENS), Cause.NO_TOKENS),
        (Generation(text="", usage=MANY_TOKENS, finish_reason="stop"), Cause.PARSER_ATE_IT),
        (Generation(thoughts=["hm"], usage=MANY_TOKENS, finish_reason="stop"), Cause.REASONING_ONLY),
        (Generation(thoughts=["hm"], text="\n\n", usage=MANY_TOKENS), Cause.REASONING_ONLY),
        (Generation(thoughts=["hm"], usage=MANY_TOKENS, finish_reason="length"), Cause.LENGTH_BEFORE_TEXT),
        (Generation(text="", usage=MANY_TOKENS, finish_reason="length"), Cause.LENGTH_BEFORE_TEXT),
        (Generation(refusal="I will not.", usage=MANY_TOKENS), Cause.REFUSAL),
        (Generation(finish_reason="content_filter", usage=MANY_TOKENS), Cause.CONTENT_FILTER),
    ],
)
def test_an_answer_is_classified(said: Generation, cause: Cause | None) -> None:
    assert classify(said) == cause


def test_every_cause_has_advice() -> None:
    assert set(ADVICE) == set(Cause)


SUGGESTION = "Make sure that `max_model_len` is no smaller than the number of text tokens."


@pytest.mark.parametrize(
    ("message", "numbers"),  # numbers: limit, prompt, asked
    [
        (
            (
                "max_tokens=8000 cannot be greater than max_model_len=2048. Please request fewer output tokens. "
                "(parameter=max_tokens, value=8000)"
            ),
            (2048, None, 8000),
        ),
        ("max_completion_tokens=8000 cannot be greater than max_model_len=2048.", (2048, None, 8000)),
        (
            (
                "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input "
                "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the "
                "input prompt. (parameter=input_tokens, value=2049)"
            ),
            (2048, 2049, None),
        ),
        (
            (
                "This model's maximum context length is 2048 tokens. However, your prompt contains 90000 characters "
                "(more than 32768 characters)."
            ),
            (2048, None, None),
        ),
        (
            (
                "This model's maximum context length is 2048 tokens. However, you requested 100 output tokens and your "
                "prompt contains at least 1949 input tokens, for a total of at least 2049 tokens."
            ),
            (2048, 1949, 100),
        ),
        (
            (
                "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (1100 in the "
                "messages, 1000 in the completion). Please reduce the length of the messages or completion."
            ),
            (2048, 1100, 1000),
        ),
        (
            (
                "This model's maximum context length is 2048 tokens. However, your request has 3000 input tokens. "
                "Please reduce the length of the input messages."
            ),
            (2048, 3000, None),
        ),
        (
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is "
                "2048 tokens and your request has 10 input tokens (5000 > 2048 - 10)."
            ),
            (2048, 10, 5000),
        ),
        (
            (
                "max_tokens is too large: 5000. This model's maximum context length is 2048 tokens and your request "
                "has 10 input tokens (5000 > 2048 - 10)."
            ),
            (2048, 10, 5000),
        ),
        (
            f"The decoder prompt (length 3000) is longer than the maximum model length of 2048. {SUGGESTION}",
            (2048, 3000, None),
        ),
        (
            (
                "The decoder prompt (length 2048) plus the number of requested output tokens (at least 1) is longer "
                f"than the maximum model length of 2048. {SUGGESTION}"
            ),
            (2048, 2048, None),
        ),
        (
            "The engine prompt length 3000 exceeds the max_model_len 2048. Please reduce prompt.",
            (2048, 3000, None),
        ),
        ("Input length (3000) exceeds model's maximum context length (2048).", (2048, 3000, None)),
        (
            "ValueError: The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
            (2048, 3000, None),
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_a_context_overflow_is_known_by_its_words(
    message: str, numbers: tuple[int | None, int | None, int | None], status: int
) -> None:
    found = overflow(status, message)
    assert found is not None
    assert (found.limit, found.prompt, found.asked) == numbers
    assert found.message == message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens must be at least 1, got 0."),
        (400, "top_k must be -1 (disable), or at least 1, got 0. Mind the context length and max_tokens."),
        (400, 'Invalid value: "This model\'s maximum context length is 2048 tokens. However, you requested 9"'),
        (400, "1 validation error: messages.0.content: 'The engine prompt length 3000 exceeds the max_model_len 2048'"),
        (400, "This model's maximum context length is 2048 tokens. Thank you for asking."),
        (400, "truncate_prompt_tokens=4000 cannot be greater than max_model_len = 2048."),
        (400, ""),
        (404, "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens"),
        (429, "Input length (3000) exceeds model's maximum context length (2048)."),
    ],
)
def test_what_only_mentions_the_words_is_not_an_overflow(status: int, message: str) -> None:
    assert overflow(status, message) is None
