"""The APIs that pass through: what of the request and of the answer is changed, and nothing else."""

import json
from typing import Any

import pytest

from responses_api import wire
from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.generation import Usage
from responses_api.convert.passed import (
    CompletionsExchange,
    CountTokensExchange,
    DetokenizeExchange,
    EmbeddingsExchange,
    MessagesExchange,
    TokenizeExchange,
    error_body,
)
from responses_api.convert.passed.exchange import PassedExchange
from responses_api.convert.passed.messages import too_long
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import (
    ApiKeyError,
    BadAnswerError,
    BodyTooLargeError,
    EngineTimeoutError,
    GatewayError,
    InternalError,
    ModelNotFoundError,
    NoEngineError,
    RequestError,
    ScopeError,
)
from tests.pure.streams import stamp

SETTINGS: dict[str, Any] = {
    "extra_body": {"top_k": 3, "temperature": 0.1},
    "sampling_overrides": {"top_p": 0.5},
    "chat_template_kwargs": {"a": 1},
}
MESSAGES = [{"role": "user", "content": "hi"}]
ALL: list[tuple[type[PassedExchange], dict[str, Any]]] = [
    (CompletionsExchange, {"prompt": "hi"}),
    (EmbeddingsExchange, {"input": "hi"}),
    (MessagesExchange, {"messages": MESSAGES, "max_tokens": 5}),
    (CountTokensExchange, {"messages": MESSAGES}),
    (TokenizeExchange, {"prompt": "hi"}),
    (DetokenizeExchange, {"tokens": [1]}),
]


def exchange(kind: type[PassedExchange], body: dict[str, Any], **settings: Any) -> PassedExchange:
    made = kind(json.dumps({"model": "p", **body}).encode())
    made.use(ProfileSettings(name="p", engine_model="m", **settings))
    return made


@pytest.mark.parametrize(
    ("kind", "body", "sent"),
    [
        (CompletionsExchange, {"prompt": ["a"], "n": 2}, {"prompt": ["a"], "n": 2, "top_k": 3, "temperature": 0.1}),
        (CompletionsExchange, {"prompt": [1], "temperature": None}, {"prompt": [1], "top_k": 3, "temperature": None}),
        (
            CompletionsExchange,
            {"prompt": "a", "stream": True, "stream_options": {"continuous_usage_stats": True}},
            {
                "prompt": "a",
                "top_k": 3,
                "temperature": 0.1,
                "stream": True,
                "stream_options": {"continuous_usage_stats": True, "include_usage": True},
            },
        ),
        (MessagesExchange, {"messages": MESSAGES}, {"messages": MESSAGES, "top_k": 3, "temperature": 0.1}),
    ],
)
def test_what_generates_gets_the_profiles_settings(kind: Any, body: dict[str, Any], sent: dict[str, Any]) -> None:
    found = json.loads(exchange(kind, body, **SETTINGS).engine_body())
    assert found == {"model": "m", "top_p": 0.5, "chat_template_kwargs": {"a": 1}, **sent}


@pytest.mark.parametrize("kind", [CompletionsExchange, MessagesExchange, ChatExchange])
@pytest.mark.parametrize("name", ["kv_transfer_params", "ec_transfer_params"])
def test_callers_send_engines_nowhere(kind: Any, name: str) -> None:
    with pytest.raises(RequestError) as refused:
        exchange(kind, {"messages": MESSAGES, name: {"remote_host": "10.0.0.1"}}).engine_body()
    assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")
    exchange(kind, {"messages": MESSAGES, name: None}).engine_body()
    exchange(kind, {"messages": MESSAGES}, extra_body={name: {"do_remote_decode": True}}).engine_body()


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        (EmbeddingsExchange, {"input": ["a"], "dimensions": 3}, {}),
        (CountTokensExchange, {"messages": MESSAGES}, {"chat_template_kwargs": {"a": 1}}),
        (
            CountTokensExchange,
            {"messages": MESSAGES, "chat_template_kwargs": {"b": 2}},
            {"chat_template_kwargs": {"a": 1, "b": 2}},
        ),
        (TokenizeExchange, {"prompt": "hi"}, {}),
        (TokenizeExchange, {"messages": MESSAGES}, {"chat_template_kwargs": {"a": 1}}),
        (DetokenizeExchange, {"tokens": [1, 2]}, {}),
    ],
)
def test_what_generates_nothing_is_not_sampled(kind: Any, body: dict[str, Any], more: dict[str, Any]) -> None:
    assert json.loads(exchange(kind, body, **SETTINGS).engine_body()) == {**body, "model": "m", **more}


@pytest.mark.parametrize(("kind", "body"), ALL)
def test_a_request_must_name_its_model(kind: type[PassedExchange], body: dict[str, Any]) -> None:
    for given, code in ((body, "missing_required_parameter"), ({**body, "model": 1}, "invalid_type")):
        with pytest.raises(RequestError) as refused:
            kind(json.dumps(given).encode())
        assert (refused.value.param, refused.value.code) == ("model", code)
    for raw in (b"[]", b"", b"nonsense"):
        with pytest.raises(RequestError):
            kind(raw)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (CompletionsExchange, "stream", "yes"),
        (CompletionsExchange, "stream_options", 1),
        (MessagesExchange, "stream", 1),
        (MessagesExchange, "messages", "hi"),
        (TokenizeExchange, "chat_template_kwargs", []),
    ],
)
def test_a_field_that_the_gateway_reads_has_its_type(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        kind(json.dumps({"model": "p", "messages": MESSAGES, field: value}).encode())
    assert (refused.value.param, refused.value.code) == (field, "invalid_type")


VECTORS = {"object": "list", "data": [{"index": 0, "embedding": [0.1, 1e-9]}], "odd": None}
TEXT = {"index": 0, "text": "yes", "finish_reason": "stop"}
BLOCKS = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "text", "text": "yes"},
    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
]


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (
            CompletionsExchange,
            {"choices": [TEXT], "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "odd": 1},
            {"text": "yes", "finish_reason": "stop", "usage": Usage(1, 2)},
        ),
        (CompletionsExchange, {"choices": [{"text": None}]}, {"text": "", "finish_reason": "", "usage": None}),
        (EmbeddingsExchange, {**VECTORS, "usage": {"prompt_tokens": 4, "total_tokens": 4}}, {}),
        (
            MessagesExchange,
            {
                "type": "message",
                "content": BLOCKS,
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 3},
            },
            {"text": "yes", "finish_reason": "tool_calls", "usage": Usage(8, 2, 3)},
        ),
        (
            MessagesExchange,
            {"type": "message", "content": [], "stop_reason": "max_tokens"},
            {"text": "", "finish_reason": "length", "usage": Usage()},
        ),
        (
            CountTokensExchange,
            {"input_tokens": 7, "context_management": {"original_input_tokens": 7}},
            {
                "usage": Usage(7),
            },
        ),
        (TokenizeExchange, {"count": 2, "max_model_len": 9, "tokens": [1, 2], "token_strs": None}, {"usage": Usage(2)}),
        (DetokenizeExchange, {"prompt": "hi"}, {"usage": None}),
    ],
)
def test_an_answer_passes_under_our_names(kind: Any, given: dict[str, Any], said: dict[str, Any]) -> None:
    made = exchange(kind, dict(ALL)[kind])
    answer = made.answer(wire.encode({"id": "x", "model": "m", **given}), stamp())
    assert json.loads(answer.body) == {"id": "resp_0", "model": "p", **given}
    assert {name: getattr(answer.generation, name) for name in said} == said
    assert answer.status == ("incomplete" if answer.generation.finish_reason == "length" else "completed")


def test_an_answer_without_id_and_model_gets_none() -> None:
    answer = exchange(DetokenizeExchange, {"tokens": [1]}).answer(b'{"prompt": "hi"}', stamp())
    assert json.loads(answer.body) == {"prompt": "hi"}


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"<html>", b'{"choices": [], "content": 1}', b"\xff", b"[" * 5000])
@pytest.mark.parametrize(("kind", "body"), ALL)
def test_what_is_no_answer_is_the_engines_error(kind: Any, body: dict[str, Any], raw: bytes) -> None:
    with pytest.raises(BadAnswerError):
        exchange(kind, body).answer(raw, stamp())


def test_a_field_that_nobody_reads_is_text_too() -> None:
    made = exchange(CompletionsExchange, {"prompt": "hi"})
    with pytest.raises(BadAnswerError):
        made.answer(b'{"choices": [{"text": "a"}], "object": "\x80"}', stamp())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestError("no"), "invalid_request_error"),
        (ApiKeyError("no"), "authentication_error"),
        (ScopeError("no"), "permission_error"),
        (ModelNotFoundError("x", []), "not_found_error"),
        (BodyTooLargeError(1), "request_too_large"),
        (NoEngineError("no"), "overloaded_error"),
        (EngineTimeoutError("no"), "timeout_error"),
        (BadAnswerError("no"), "api_error"),
        (InternalError("req_1"), "api_error"),
    ],
)
def test_anthropics_clients_are_told_of_errors_in_their_words(error: GatewayError, kind: str) -> None:
    assert error_body(error) == {"type": "error", "error": {"type": kind, "message": error.message}}


@pytest.mark.parametrize(
    ("prompt", "asked", "limit", "said"),
    [
        (3000, None, 2048, "prompt is too long: 3000 tokens > 2048 maximum"),
        (3000, 10, 2048, "prompt is too long: 3000 tokens > 2048 maximum"),
        (2000, 100, 2048, "input length and `max_tokens` exceed context limit: 2000 + 100 > 2048, "),
        (None, 9000, 2048, "max_tokens: 9000 > 2048, which is"),
        (None, None, None, "prompt is too long: words"),
    ],
)
def test_what_agents_compact_on(prompt: int | None, asked: int | None, limit: int | None, said: str) -> None:
    assert too_long("words", prompt=prompt, asked=asked, limit=limit).startswith(said)


def event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), wire.encode({"type": name, **fields}))


BEGUN = event("message_start", message={"id": "x", "model": "m", "content": [], "usage": {"input_tokens": 5}})
STREAM = BEGUN + b"".join(
    [
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "yes"}),
        event("content_block_stop", index=0),
    ]
)
ENDED = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})


@pytest.mark.parametrize("tail", [b"", event("message_stop"), event("message_stop") + b"data: [DONE]\n\n"])
def test_a_stream_of_messages_keeps_its_end_until_it_is_recorded(tail: bytes) -> None:
    stream = exchange(MessagesExchange, {"messages": MESSAGES, "stream": True}).stream(stamp())
    sent = b"".join(stream.feed((STREAM + ENDED + tail)[at : at + 7]) for at in range(0, len(STREAM + ENDED + tail), 7))
    assert sent == STREAM.replace(b'"x"', b'"resp_0"').replace(b'"m"', b'"p"')
    assert (stream.error, stream.said_all, stream.is_done) == (None, True, bool(tail))
    answer = stream.finish(0)
    assert answer.body == ENDED + event("message_stop")
    assert (answer.generation.text, answer.generation.usage) == ("yes", Usage(5, 2))
    failed = stream.fail(BadAnswerError("no"))
    assert failed == event("error", error={"type": "api_error", "message": "no"})


@pytest.mark.parametrize(
    "raw",
    [
        event("error", error={"type": "internal_error", "message": "it fell"}),
        b'data: {"error": {"message": "it fell", "code": 500}}\n\n',
    ],
)
@pytest.mark.parametrize("kind", [MessagesExchange, CompletionsExchange])
def test_an_error_in_a_stream_is_one(kind: Any, raw: bytes) -> None:
    stream = exchange(kind, {"messages": MESSAGES, "stream": True}).stream(stamp())
    stream.feed(raw)
    assert stream.error is not None
    assert stream.error.message == "it fell"


def test_the_bare_error_of_an_older_engine_is_one() -> None:
    stream = exchange(CompletionsExchange, {"prompt": "a", "stream": True}).stream(stamp())
    stream.feed(b'data: {"object": "error", "message": "it fell", "code": 500}\n\n')
    assert stream.error is not None
    assert stream.error.message == "it fell"


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    return b"data: %b\n\n" % wire.encode({"id": "x", "model": "m", "choices": [*choices], **more})


def test_completions_side_by_side_end_together() -> None:
    stream = exchange(CompletionsExchange, {"prompt": "a", "stream": True}).stream(stamp())
    first, second = {"index": 0, "text": "a"}, {"index": 1, "text": "b"}
    assert stream.feed(chunk(first) + chunk(second)).count(b"resp_0") == 2
    ended = {"index": 0, "text": "", "finish_reason": "stop"}
    assert (stream.feed(chunk(ended)), stream.said_all) == (b"", False)
    assert stream.feed(chunk(second)).count(b"resp_0") == 2
    rest = chunk({**ended, "index": 1}) + chunk(usage={"prompt_tokens": 1})
    assert (stream.feed(rest), stream.said_all) == (b"", True)
    answer = stream.finish(0)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in answer.body
    assert (answer.generation.text, answer.generation.finish_reason) == ("a", "stop")
