"""What metadata asks for, and which of several settings wins."""

from typing import Any

import msgspec
import pytest

from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import RequestError
from tests.pure.conversations import HI, PLAIN, said, sent

PROFILE = ProfileSettings(
    name="p",
    engine_model="engine-model",
    extra_body={"temperature": 0.1, "top_k": 1, "min_p": 0.1, "seed": 1, "chat_template_kwargs": {"a": 0, "b": 0}},
    chat_template_kwargs={"b": 1, "c": 1},
    sampling_overrides={"seed": 7},
)
ASKED = {"temperature": 0.2, "top_k": 2, "seed": 2, "logprobs": True, "chat_template_kwargs": {"c": 2, "d": 2}}
METADATA = {
    "extra_body": msgspec.json.encode(ASKED).decode(),
    "chat_template_kwargs": '{"e": 4, "f": 4}',
    "mine": "x",
}


def sent_chat(settings: ProfileSettings = PLAIN, **request: Any) -> dict[str, Any]:
    exchange = ChatExchange(msgspec.json.encode({"model": "p", "messages": [HI], **request}))
    exchange.use(settings)
    body: dict[str, Any] = msgspec.json.decode(exchange.engine_body())
    return body


@pytest.mark.parametrize("send", [sent, sent_chat])
def test_each_layer_beats_those_below_it(send: Any) -> None:
    body = send(PROFILE, metadata=METADATA, temperature=None, chat_template_kwargs={"d": 3, "e": 3})
    assert (body["temperature"], body["top_k"], body["min_p"], body["seed"]) == (None, 2, 0.1, 7)
    assert body["logprobs"] is True
    assert body["chat_template_kwargs"] == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 4}
    assert body["model"] == "engine-model"
    assert body.get("metadata") in (None, {"mine": "x"})


@pytest.mark.parametrize(
    ("settings", "request_fields", "found"),
    [
        ({"extra_body": {"max_completion_tokens": 9}}, {}, {"max_completion_tokens": 9}),
        ({"extra_body": {"max_completion_tokens": 9}}, {"max_tokens": 5}, {"max_tokens": 5}),
        ({"extra_body": {"max_tokens": 9}}, {"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
        ({"sampling_overrides": {"max_tokens": 9}}, {"max_completion_tokens": 5}, {"max_tokens": 9}),
        (
            {"extra_body": {"max_tokens": 9}},
            {"metadata": {"extra_body": {"max_completion_tokens": 5}}},
            {"max_completion_tokens": 5},
        ),
        ({}, {"max_tokens": 4, "max_completion_tokens": 5}, {"max_tokens": 4, "max_completion_tokens": 5}),
    ],
)
def test_an_older_name_of_the_cap_does_not_get_past_those_above_it(
    settings: dict[str, Any], request_fields: dict[str, Any], found: dict[str, Any]
) -> None:
    body = sent_chat(ProfileSettings(name="p", engine_model="m", **settings), **request_fields)
    assert {name: value for name, value in body.items() if "tokens" in name} == found


def test_metadata_that_was_for_the_gateway_goes_no_further() -> None:
    assert sent_chat(metadata={"mine": "x"})["metadata"] == {"mine": "x"}
    assert "metadata" not in sent_chat(metadata={"extra_body": "{}"})
    assert sent_chat(metadata="text")["metadata"] == "text"
    assert sent_chat(metadata={"extra_body": {"top_k": 3}})["top_k"] == 3


def test_what_every_request_has_itself_wins_over_what_metadata_asks_for() -> None:
    body = sent_chat(metadata={"extra_body": '{"model": "x", "messages": [], "top_k": 3}'})
    assert (body["model"], body["top_k"]) == ("engine-model", 3)
    assert body["messages"] != []


def test_template_arguments_that_are_none_are_left_to_the_engine_to_refuse() -> None:
    assert sent_chat(PROFILE, chat_template_kwargs="x")["chat_template_kwargs"] == "x"


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({"extra_body": "{"}, "metadata.extra_body"),
        ({"extra_body": "[]"}, "metadata.extra_body"),
        ({"extra_body": '{"stream": true}'}, "metadata.extra_body"),
        ({"extra_body": '{"n": 4}'}, "metadata.extra_body"),
        ({"extra_body": '{"tools": []}'}, "metadata.extra_body"),
        ({"extra_body": '{"kv_transfer_params": {}}'}, "metadata.extra_body"),
        ({"extra_body": "[" * 5000}, "metadata.extra_body"),
        ({"extra_body": '{"chat_template_kwargs": []}'}, "metadata.extra_body"),
        ({"chat_template_kwargs": "yes"}, "metadata.chat_template_kwargs"),
        ({"chat_template_kwargs": "5"}, "metadata.chat_template_kwargs"),
        ({"audio_paths": "a.wav"}, "metadata.audio_paths"),
        ({"audio_paths": '{"a": 1}'}, "metadata.audio_paths"),
        ({"audio_paths": '["a.wav", 1]'}, "metadata.audio_paths[1]"),
        ({"audio_data": "https://x"}, "metadata.audio_data"),
        ({"audio_data": "data:,", "audio_path": "a.wav"}, "metadata.audio_path"),
    ],
)
@pytest.mark.parametrize("send", [sent, sent_chat])
def test_metadata_that_makes_no_sense_is_refused_by_name(send: Any, metadata: dict[str, str], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        send(metadata=metadata)
    assert caught.value.param == param


WAV = "data:audio/wav;base64,AAAA"
SOUND = {"type": "audio_url", "audio_url": {"url": WAV}}


def test_audio_stands_before_what_the_user_said_last() -> None:
    given = [HI, said("A"), {"role": "user", "content": "What was that?"}, said("B")]
    found = sent(input=given, metadata={"audio_data": WAV})["messages"]
    assert found[2] == {"role": "user", "content": [SOUND, {"type": "text", "text": "What was that?"}]}
    assert [message["role"] for message in found] == ["user", "assistant", "user", "assistant"]
    assert sent(input="hi", metadata={"audio_data": WAV})["messages"][0]["content"][0] == SOUND
    assert sent(input=[], metadata={"audio_data": WAV})["messages"] == [{"role": "user", "content": [SOUND]}]
    assert sent_chat(metadata={"audio_data": WAV})["messages"][0]["content"][0] == SOUND


@pytest.mark.parametrize(
    ("metadata", "paths"),
    [
        ({"audio_path": "a.wav"}, (("a.wav", "metadata.audio_path"),)),
        (
            {"audio_paths": '["a.wav", "b.mp3"]'},
            (("a.wav", "metadata.audio_paths[0]"), ("b.mp3", "metadata.audio_paths[1]")),
        ),
        ({"audio_data": WAV}, ()),
        ({}, ()),
    ],
)
def test_files_are_named_and_then_attached(metadata: dict[str, str], paths: tuple[Any, ...]) -> None:
    exchange = ResponsesExchange(msgspec.json.encode({"model": "p", "input": "hi", "metadata": metadata}))
    exchange.use(PLAIN)
    assert exchange.audio_paths() == paths
    exchange.attach([WAV for _ in paths])
    body = msgspec.json.decode(exchange.engine_body())
    assert body["messages"][0]["content"].count(SOUND) == (len(paths) or bool(metadata))


TRAINING = ProfileSettings(name="p", engine_model="engine-model", return_token_id_information=True)
ASKING = ProfileSettings(
    name="p",
    engine_model="engine-model",
    return_token_id_information=True,
    request_prompt_and_generation_token_ids=True,
)
NUMBERS = {"logprobs": True, "top_logprobs": 0, "return_tokens_as_token_ids": True}


@pytest.mark.parametrize(
    ("settings", "request_fields", "told"),
    [
        (TRAINING, {}, NUMBERS),
        (TRAINING, {"top_logprobs": 3}, {**NUMBERS, "top_logprobs": 3}),
        (TRAINING, {"metadata": {"extra_body": '{"logprobs": false}'}}, NUMBERS),
        (ASKING, {}, {**NUMBERS, "return_token_ids": True}),
        (PLAIN, {}, {}),
    ],
)
@pytest.mark.parametrize("send", [sent, sent_chat])
def test_numbers_of_tokens_are_asked_for_whatever_the_caller_says(
    send: Any, settings: ProfileSettings, request_fields: Any, told: Any
) -> None:
    body = send(settings, **request_fields)
    assert {name: value for name, value in body.items() if name not in {"model", "messages"}} == told


def test_several_answers_have_no_numbers() -> None:
    with pytest.raises(RequestError) as caught:
        sent_chat(TRAINING, n=2)
    assert caught.value.param == "n"
    assert sent_chat(PLAIN, n=2)["n"] == 2
