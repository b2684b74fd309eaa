"""The numbers of tokens, from each of their sources, and what is not good enough."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.exchange import Exchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import BadAnswerError
from tests.contract.life import check_stream, read_chunks, read_events
from tests.contract.schemas import check_response
from tests.pure.streams import USAGE, exchange, stamp, streamed

Body = dict[str, Any]

SETTINGS = ProfileSettings(
    name="p", engine_model="m", return_token_id_information=True, chat_template_kwargs={"enable_thinking": False}
)
TRIPLE = {"prompt_token_ids": [1, 2], "generation_token_ids": [7, 8], "generation_log_probs": [-0.5, -1]}


def scores(*ids: int) -> Body:
    return {"content": [{"token": f"token_id:{number}", "logprob": -0.5 * (n + 1)} for n, number in enumerate(ids)]}


def completion(message: Body | None = None, choice: Body | None = None, **top: Any) -> bytes:
    said = {"role": "assistant", "content": "hi", **(message or {})}
    one = {"index": 0, "message": said, "finish_reason": "stop", **(choice or {})}
    return msgspec.json.encode({"choices": [one], "usage": USAGE, **top})


IN_MESSAGE = completion(TRIPLE)
IN_CHOICE = completion(choice={"token_ids": [7, 8], "logprobs": scores(7, 8)}, prompt_token_ids=[1, 2])
IN_LOGPROBS = completion(choice={"logprobs": scores(7, 8)})


def asked(made: Exchange, raw: bytes) -> Body | None:
    """Ask what the exchange wants to know besides, and let it hear."""
    question = made.after(raw)
    if question is None:
        return None
    assert question.path == "/tokenize"
    made.hear(b'{"count": 2, "max_model_len": 9, "tokens": [1, 2]}')
    return msgspec.json.decode(question.body, type=dict)


@pytest.mark.parametrize("raw", [IN_MESSAGE, IN_CHOICE, IN_LOGPROBS])
@pytest.mark.parametrize("kind", [ResponsesExchange, ChatExchange])
def test_each_source_will_do(kind: type[Exchange], raw: bytes) -> None:
    made = exchange(kind, SETTINGS, stream=False)
    assert (asked(made, raw) is None) == (raw is not IN_LOGPROBS)
    body = msgspec.json.decode(made.answer(raw, stamp()).body)
    if kind is ResponsesExchange:
        check_response(body)
        (holder,) = body["output"]
    else:
        holder = body["choices"][0]["message"]
        assert "prompt_token_ids" not in body
        assert "token_ids" not in body["choices"][0]
        assert body["choices"][0].get("logprobs") is None
    assert {name: holder[name] for name in TRIPLE} == TRIPLE
    assert holder["routed_experts"] is None


def test_the_prompt_is_asked_for_with_what_makes_it() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {}}]
    made = exchange(ResponsesExchange, SETTINGS, stream=False, tools=tools, temperature=1, tool_choice="auto")
    body = asked(made, IN_LOGPROBS)
    assert body is not None
    assert body.keys() == {"model", "messages", "tools", "chat_template_kwargs"}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


def test_they_stand_on_the_last_item_alone() -> None:
    calls = [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]
    raw = completion({**TRIPLE, "reasoning": "hm", "tool_calls": calls}, {"routed_experts": "AAA="})
    body = msgspec.json.decode(exchange(ResponsesExchange, SETTINGS, stream=False).answer(raw, stamp()).body)
    *others, last = body["output"]
    assert [item["type"] for item in others] == ["reasoning", "message"]
    assert not any("prompt_token_ids" in item for item in others)
    assert (last["type"], last["generation_token_ids"], last["routed_experts"]) == ("function_call", [7, 8], "AAA=")


@pytest.mark.parametrize(
    "choice", [{"token_ids": [], "logprobs": {"content": []}}, {"token_ids": [], "logprobs": None}]
)
def test_no_tokens_are_none(choice: Body) -> None:
    raw = completion({"content": None}, choice, prompt_token_ids=[1])
    body = msgspec.json.decode(exchange(ResponsesExchange, SETTINGS, stream=False).answer(raw, stamp()).body)
    assert (body["output"][0]["generation_token_ids"], body["output"][0]["generation_log_probs"]) == ([], [])


def test_the_empty_answer_carries_none() -> None:
    body = msgspec.json.decode(exchange(ResponsesExchange, SETTINGS, stream=False).empty_answer(stamp()))
    assert "prompt_token_ids" not in body["output"][0]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (completion(), "no log-probabilities"),
        (completion(choice={"logprobs": {"content": []}}), "no token ids of it"),
        (completion(choice={"logprobs": {"content": [{"token": "hi", "logprob": -1}]}}), "name tokens as 'hi'"),
        (completion(choice={"logprobs": {"content": [None]}}), "name tokens as ''"),
        (
            completion(choice={"logprobs": {"content": [{"token": "token_id:7", "logprob": None}]}}),
            "not a list of numbers",
        ),
        (
            completion(choice={"token_ids": [7], "logprobs": scores(7, 8)}, prompt_token_ids=[1]),
            "name different tokens",
        ),
        (completion(choice={"token_ids": [7, 8]}, prompt_token_ids=[1]), "no log-probabilities"),
        (completion(choice={"logprobs": scores(7)}, prompt_token_ids=[1]), "prompt_token_ids, but no token_ids"),
        (completion(choice={"token_ids": [7], "logprobs": scores(7)}), "token_ids, but no prompt_token_ids"),
        (completion({"prompt_token_ids": [1]}), "but not generation_token_ids, generation_log_probs"),
        (completion({**TRIPLE, "generation_log_probs": [-1]}), "2 token ids and 1 log-probabilities"),
        (completion({**TRIPLE, "generation_token_ids": ["7", "8"]}), "generation_token_ids are not"),
        (completion(TRIPLE, prompt_token_ids=[9]), "different token ids"),
        (completion(TRIPLE, {"token_ids": [7]}), "different token ids"),
        (completion(prompt_token_ids="x"), "prompt_token_ids are not"),
    ],
)
@pytest.mark.parametrize("kind", [ResponsesExchange, ChatExchange])
def test_what_is_not_certain_is_the_engines_error(kind: type[Exchange], raw: bytes, message: str) -> None:
    made = exchange(kind, SETTINGS, stream=False)
    with pytest.raises(BadAnswerError, match=message):  # noqa: PT012  (either may see it)
        asked(made, raw)
        made.answer(raw, stamp())


@pytest.mark.parametrize("heard", [b"", b"{}", b'{"tokens": ["a"]}', b"[" * 100_000])
def test_a_prompt_that_cannot_be_read_is_the_engines_error(heard: bytes) -> None:
    made = exchange(ResponsesExchange, SETTINGS, stream=False)
    assert made.after(IN_LOGPROBS) is not None
    with pytest.raises(BadAnswerError, match="tokens of the prompt"):
        made.hear(heard)


def pieces(*, with_ids: bool) -> bytes:
    """A stream as vLLM sends it: the prompt in the first chunk, each token with its own."""
    more: Body = {"prompt_token_ids": [1, 2]} if with_ids else {}
    first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None}], **more}
    chunks: list[Body | bytes] = [first]
    for n, (number, text) in enumerate([(7, "h"), (8, "i")]):
        entry = {"token": f"token_id:{number}", "logprob": -0.5 * (n + 1)}
        choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": [entry]}}
        chunks.append({"choices": [{**choice, **({"token_ids": [number]} if with_ids else {})}]})
    end = {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": {"content": []}}
    last = {"choices": [{**end, **({"token_ids": []} if with_ids else {})}]}
    return streamed(*chunks, last, {"choices": [], "usage": USAGE}, b"[DONE]")


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_stream_ends_with_them(with_ids: bool) -> None:
    made = exchange(ResponsesExchange, SETTINGS)
    stream = made.stream(stamp())
    sent = stream.feed(pieces(with_ids=with_ids))
    question = stream.after()
    assert (question is None) == with_ids
    if question is not None:
        made.hear(b'{"tokens": [1, 2]}')
    found = read_events(sent + stream.finish(1001).body)
    check_stream(found)
    (item,) = found[-1]["response"]["output"]
    assert {name: item[name] for name in TRIPLE} == TRIPLE
    assert next(event["item"] for event in found if event["type"] == "response.output_item.done") == item


def test_a_streamed_chat_completion_ends_with_them() -> None:
    stream = exchange(ChatExchange, SETTINGS).stream(stamp())
    sent = stream.feed(pieces(with_ids=True)) + stream.finish(1001).body
    chunks = read_chunks(sent)
    assert [chunk["choices"][0]["delta"] for chunk in chunks[-2:]] == [{**TRIPLE, "routed_experts": None}, {}]
    assert not any("prompt_token_ids" in chunk for chunk in chunks)
    assert not any(chunk["choices"][0].get(name) for chunk in chunks for name in ("token_ids", "logprobs"))


def test_a_stream_without_them_fails() -> None:
    stream = exchange(ResponsesExchange, SETTINGS).stream(stamp())
    stream.feed(streamed({"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}))
    with pytest.raises(BadAnswerError):
        stream.after()
    with pytest.raises(BadAnswerError) as caught:
        stream.finish(1001)
    assert b"response.failed" in stream.fail(caught.value)
