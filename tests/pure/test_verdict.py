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
        (Generation(forbidden=1, usage=MANY_TOKENS, finish_reason="tool_calls"), Cause.CALLS_FORBIDDEN),
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
        (
            (
                "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens in the "
                "messages, Please reduce the length of the messages."
            ),
            (2048, 3000, None),
        ),
        (
            (
                "This model's maximum context length is 2048 tokens. However, your request has 8 input tokens plus "
                "2045 'max_tokens'. Please reduce one or the other. (parameter=input_tokens, max_tokens)"
            ),
            (2048, 8, 2045),
        ),
        (
            (
                "This model's maximum context length is 2048 tokens. However, your messages resulted in 3000 tokens. "
                "Please reduce the length of the messages."
            ),
            (2048, 3000, None),
        ),
        (
            f"The prompt (total length 3000) is too long to fit into the model (context length 2048). {SUGGESTION}",
            (2048, 3000, None),
        ),
        (
            "The input (3000 tokens) is longer than the model's context length (2048 tokens).",
            (2048, 3000, None),
        ),
        (
            (
                "Requested token count exceeds the model's maximum context length of 2048 tokens. You requested a "
                "total of 2100 tokens: 1100 tokens from the input messages and 1000 tokens for the completion."
            ),
            (2048, 1100, 1000),
        ),
        (
            "Input length (3000 tokens) exceeds the maximum allowed length (2048 tokens). Use a shorter input.",
            (2048, 3000, None),
        ),
        (
            (
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. "
                "Given: 1244 `inputs` tokens and 1000 `max_new_tokens`"
            ),
            (2048, 1244, 1000),
        ),
        ("Input validation error: `inputs` must have less than 2048 tokens. Given: 3000", (2048, 3000, None)),
        ("the request exceeds the available context size. try increasing the context size", (None, None, None)),
        (
            "request (3000 tokens) exceeds the available context size (2048 tokens), try increasing it",
            (2048, 3000, None),
        ),
        ("Requested tokens (3000) exceed context window of 2048", (2048, None, None)),
        ("THIS MODEL'S MAXIMUM CONTEXT LENGTH IS 2048 TOKENS. HOWEVER, YOU REQUESTED 2100", (2048, None, None)),
        ("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", (None, None, None)),
        ("max_tokens must be at least 1, got -37.", (None, None, None)),
    ],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_context_overflow_is_known_by_its_words(
    message: str, numbers: tuple[int | None, int | None, int | None], status: int
) -> None:
    found = overflow(status, message, {})
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
    assert overflow(status, message, {"max_tokens": 0}) is None


@pytest.mark.parametrize(
    ("sent", "is_overflow"),
    [
        ({}, True),
        ({"max_tokens": 16}, True),
        ({"max_tokens": None, "max_completion_tokens": 16}, True),
        ({"max_tokens": 0}, False),
        ({"max_completion_tokens": -1}, False),
        ({"max_output_tokens": 0}, False),
    ],
)
def test_a_prompt_that_leaves_no_room_is_told_from_a_caller_who_asks_for_nothing(
    sent: dict[str, object], *, is_overflow: bool
) -> None:
    assert (overflow(400, "max_tokens must be at least 1, got 0.", sent) is not None) is is_overflow
