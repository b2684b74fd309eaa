"""Real streams of vLLM become what the whole answer becomes, wherever their bytes are cut."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responses_api.convert.answer import AnswerStream
from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.exchange import Exchange
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from tests.contract.life import check_stream, read_chunks, read_events
from tests.pure.streams import exchange, stamp

FOLDER = Path(__file__).parent / "recordings"
RECORDINGS = sorted(file.stem for file in FOLDER.glob("*.sse"))
NUMBERED = {"tagged", "text_token_ids", "thinking", "thought", "thought_and_calls"}

ASKED: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
Manner = tuple[str, dict[str, Any], dict[str, Any]]
MANNERS: list[Manner] = [
    ("plain", {}, {}),
    ("inline", {"uses_reasoning_parser": False}, {}),
    ("other tags", {"think_start_tag": "<think>o", "think_end_tag": "/think>"}, {}),
    ("reasoning twice", {"reasoning_shown_as": "both"}, {}),
    ("log-probabilities", {"reasoning_shown_as": "content"}, ASKED),
    ("one call", {"length_is_completed": True}, {"max_tool_calls": 1}),
]


@cache
def recording(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def made(name: str, manner: Manner, kind: type[Exchange] = ResponsesExchange, **more: Any) -> Exchange:
    _, profile, fields = manner
    told = {"return_token_id_information": name in NUMBERED, **profile}
    return exchange(kind, ProfileSettings(name="p", engine_model="m", **told), **{**fields, **more})


def finished(stream: AnswerStream, sent: bytes) -> bytes:
    assert (stream.error, stream.is_done, stream.after()) == (None, True, None)
    return sent + stream.finish(1001).body


@cache
def at_once(name: str, number: int, kind: type[Exchange] = ResponsesExchange) -> bytes:
    stream = made(name, MANNERS[number], kind).stream(stamp())
    return finished(stream, stream.feed(recording(f"{name}.sse")))


def comparable(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource without what vLLM itself tells differently in a stream: ids of calls, tokens of the reasoning."""
    for number, item in enumerate(resource["output"]):
        if "call_id" in item:
            item["call_id"] = number
    del resource["usage"]["output_tokens_details"]
    return resource


@pytest.mark.parametrize("number", range(len(MANNERS)), ids=[name for name, *_ in MANNERS])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_stream_ends_as_the_whole_answer(name: str, number: int) -> None:
    events = read_events(at_once(name, number))
    check_stream(events)
    whole = made(name, MANNERS[number], stream=False).answer(recording(f"{name}.json"), stamp()).body
    assert comparable(events[-1]["response"]) == comparable(msgspec.json.decode(whole))


@pytest.mark.parametrize("kind", [ResponsesExchange, ChatExchange])
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_byte_may_come_alone(name: str, kind: type[Exchange]) -> None:
    raw = recording(f"{name}.sse")
    stream = made(name, MANNERS[0], kind).stream(stamp())
    sent = b"".join([stream.feed(raw[place : place + 1]) for place in range(len(raw))])
    assert finished(stream, sent) == at_once(name, 0, kind)


@settings(max_examples=60)
@given(st.sampled_from(RECORDINGS), st.integers(0, len(MANNERS) - 1), st.data())
def test_cutting_the_bytes_changes_nothing(name: str, number: int, data: st.DataObject) -> None:
    raw = recording(f"{name}.sse")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    stream = made(name, MANNERS[number]).stream(stamp())
    sent = b"".join([stream.feed(raw[start:end]) for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)])
    assert finished(stream, sent) == at_once(name, number)


@pytest.mark.parametrize("name", sorted(NUMBERED))
def test_the_numbers_leave_on_both_apis(name: str) -> None:
    given_whole = msgspec.json.decode(recording(f"{name}.json"))
    last = read_events(at_once(name, 0))[-1]["response"]["output"][-1]
    chunks = read_chunks(at_once(name, 0, ChatExchange))
    told = next(chunk["choices"][0]["delta"] for chunk in chunks if "prompt_token_ids" in chunk["choices"][0]["delta"])
    for holder in (last, told):
        assert holder["prompt_token_ids"] == given_whole["prompt_token_ids"]
        assert holder["generation_token_ids"] == given_whole["choices"][0]["token_ids"]
        assert len(holder["generation_log_probs"]) == given_whole["usage"]["completion_tokens"]


@pytest.mark.parametrize("name", ["text_logprobs", "thought", "tagged"])
def test_the_tokens_of_the_text_are_told_in_words(name: str) -> None:
    part = read_events(at_once(name, 4))[-1]["response"]["output"][-1]["content"][0]
    assert b"".join(bytes(entry["bytes"]) for entry in part["logprobs"]).decode() == part["text"]
    assert "".join(entry["token"] for entry in part["logprobs"] if entry["token"].isascii()) in part["text"]
