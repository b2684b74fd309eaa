"""Which tokens are the text's, and how their log-probabilities leave."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.logprobs import Alignment
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from tests.contract.life import check_stream, read_events
from tests.contract.schemas import check_response
from tests.pure.streams import INLINE, PLAIN, USAGE, exchange, stamp, streamed

Body = dict[str, Any]


def entry(token: str, *others: str, logprob: Any = -0.5, raw: Any = None) -> Body:
    given = [*token.encode()] if raw is None else raw
    alternatives = [{"token": other, "logprob": -2.0, "bytes": [*other.encode()]} for other in others]
    return {"token": token, "logprob": logprob, "bytes": given, "top_logprobs": alternatives}


def tokens_of(entries: list[Body]) -> list[str]:
    return [one["token"] for one in entries]


@pytest.mark.parametrize(
    ("tokens", "thoughts", "texts", "taken"),
    [
        (["he", "llo", "<|im_end|>"], [], ["hello"], [["he", "llo"]]),
        (["he", "llo"], [], ["h", "ello"], [["he"], ["llo"]]),
        (["<think>", "hi", "</think>", "\n\n", "hi"], ["hi"], ["\n\nhi"], [["\n\n", "hi"]]),
        (["hm", "</think>hi"], ["hm"], ["hi"], [["</think>hi"]]),
        (["a", "", "b"], [], ["ab"], [["a", "", "b"]]),
        (["�", "!"], [], ["é!"], [["�", "!"]]),
        ([], [], ["hi"], [[]]),
    ],
)
def test_a_token_is_the_texts_if_any_character_of_it_is(
    tokens: list[str], thoughts: list[str], texts: list[str], taken: list[list[str]]
) -> None:
    alignment = Alignment()
    alignment.add({"content": [entry(token) for token in tokens]})
    for thought in thoughts:
        alignment.skip(thought)
    assert [tokens_of(alignment.take(text)) for text in texts] == taken


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (entry("a", "b"), entry("a", "b")),
        (
            {"token": "a", "logprob": -1},
            {"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []},
        ),
        (entry("a", logprob=None), entry("a", logprob=-9999.0)),
        (entry("a", raw="x"), entry("a")),
        (entry("a", raw=[999]), entry("a")),
        (entry("token_id:5", raw=[97]), entry("a")),
        (entry("token_id:5"), entry("token_id:5")),
        ({**entry("a"), "top_logprobs": None}, entry("a")),
        ({**entry("a"), "top_logprobs": [None, {"logprob": 1}]}, entry("a")),
    ],
)
def test_entries_are_read_in_whatever_shape(given: Body, read: Body) -> None:
    alignment = Alignment()
    alignment.add({"content": [None, {"token": 5}, given]})
    assert alignment.take("a") == [read]


@pytest.mark.parametrize("logprobs", [None, [], {}, {"content": None}, {"content": 5}, "x"])
def test_no_entries_are_none(logprobs: Any) -> None:
    alignment = Alignment()
    alignment.add(logprobs)
    assert alignment.take("a") == []


WORDS = ["<think>", "hm", "</think>", "he", "llo", "<|im_end|>"]


def whole(settings: ProfileSettings, message: Body, words: list[str], **fields: Any) -> Body:
    made = exchange(ResponsesExchange, settings, **{"stream": False, **fields})
    choice = {"message": message, "finish_reason": "stop", "logprobs": {"content": [entry(word) for word in words]}}
    body: Body = msgspec.json.decode(
        made.answer(msgspec.json.encode({"choices": [choice], "usage": USAGE}), stamp()).body
    )
    check_response(body)
    return body


def events(settings: ProfileSettings, deltas: list[Body], words: list[str], **fields: Any) -> list[Body]:
    chunks: list[Body | bytes] = [
        {"choices": [{"index": 0, "delta": delta, "logprobs": {"content": [entry(word)]}}]}
        for delta, word in zip(deltas, words, strict=True)
    ]
    end: Body = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": {"content": []}}]}
    stream = exchange(ResponsesExchange, settings, **fields).stream(stamp())
    sent = stream.feed(streamed(*chunks, end, {"choices": [], "usage": USAGE}, b"[DONE]"))
    found = read_events(sent + stream.finish(1001).body)
    check_stream(found)
    return found


ASKED: Body = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}


@pytest.mark.parametrize("settings", [PLAIN, INLINE])
@pytest.mark.parametrize(
    "deltas",
    [
        [{}, {"reasoning": "hm"}, {}, {"content": "he"}, {"content": "llo"}, {}],
        [{"content": "<think>"}, {"content": "hm"}, {"content": "</think>"}, {"content": "he"}, {"content": "llo"}, {}],
        [{"content": "<th"}, {"content": "ink>hm"}, {}, {"content": "</think>he"}, {"content": "l"}, {"content": "lo"}],
    ],
)
def test_the_texts_log_probabilities_leave_whole_and_streamed(settings: ProfileSettings, deltas: list[Body]) -> None:
    message = {name: "".join(delta.get(name, "") for delta in deltas) for name in ("reasoning", "content")}
    body = whole(settings, message, WORDS, **ASKED)
    part = body["output"][-1]["content"][0]
    spoken = ["he", "llo"] if part["text"] == "hello" else WORDS[:5]
    assert part["logprobs"] == [entry(word) for word in spoken]
    found = events(settings, deltas, WORDS, **ASKED)
    assert found[-1]["response"]["output"][-1] == body["output"][-1]
    assert found[-1]["response"]["top_logprobs"] == 2


def test_a_text_in_the_letters_of_a_tag_has_its_own_tokens() -> None:
    words = ["<think>", "x", "</think>", "\n", "in"]
    body = whole(PLAIN, {"reasoning": "x", "content": "in"}, words, **ASKED)
    assert tokens_of(body["output"][-1]["content"][0]["logprobs"]) == ["in"]
    deltas: list[Body] = [{}, {"reasoning": "x"}, {}, {}, {"content": "in"}]
    assert events(PLAIN, deltas, words, **ASKED)[-1]["response"]["output"] == body["output"]


def test_they_are_absent_unless_asked_for() -> None:
    assert "logprobs" not in whole(PLAIN, {"content": "hello"}, WORDS[3:])["output"][0]["content"][0]
    found = events(PLAIN, [{"content": "he"}, {"content": "llo"}], WORDS[3:5])
    assert "logprobs" not in found[-1]["response"]["output"][0]["content"][0]
    assert [event["logprobs"] for event in found if "logprobs" in event] == [[], [], []]
    empty = whole(PLAIN, {"content": None}, [], **ASKED)["output"][0]["content"][0]
    assert empty == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def test_chat_completions_keep_theirs_in_words_beside_token_ids() -> None:
    settings = ProfileSettings(name="p", engine_model="m", return_token_id_information=True)
    made = exchange(ChatExchange, settings, stream=False, logprobs=True)
    scores = {"content": [entry("token_id:7", "token_id:8", raw=[*b"hi"])]}
    choice = {"message": {"content": "hi"}, "finish_reason": "stop", "logprobs": scores, "token_ids": [7]}
    raw = msgspec.json.encode({"choices": [choice], "prompt_token_ids": [1, 2]})
    told = msgspec.json.decode(made.answer(raw, stamp()).body)["choices"][0]
    assert told["logprobs"]["content"][0] == entry("hi", "token_id:8")
    assert told["message"]["generation_token_ids"] == [7]
    assert "token_ids" not in told
