"""What is true of every stream, whatever an engine says, however it is cut, and wherever it ends."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from responses_api.convert import resource
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import BrokenOffError
from tests.contract.life import check_life, read_events
from tests.pure.streams import PLAIN, USAGE, call, exchange, said, stamp

TEXTS = st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", "a", "é\n", ""]), max_size=4).map("".join)
CALLS = st.builds(
    call,
    st.integers(0, 2),
    name=st.sampled_from([None, "f", "g"]),
    arguments=st.sampled_from([None, "", "{", '"a": 1}']),
    id=st.sampled_from([None, "c1", "c2"]),
)
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"reasoning": TEXTS}),
    st.fixed_dictionaries({"content": TEXTS, "reasoning_content": TEXTS, "refusal": TEXTS}),
    CALLS,
)
ENDS = st.sampled_from(["stop", "length", "tool_calls", "abort"])
STREAMS = st.builds(lambda deltas, finish: said(*deltas, finish=finish), st.lists(DELTAS, max_size=8), ENDS)


@given(st.lists(DELTAS, max_size=8), ENDS)
def test_every_stream_obeys_and_ends_as_what_was_generated_and_nothing_is_lost(deltas: list[Any], finish: str) -> None:
    stream = exchange().stream(stamp())
    sent = stream.feed(said(*deltas, finish=finish))
    end = stream.finish(1001)
    events = read_events(sent + end.body)
    check_life(events)
    output = events[-1]["response"]["output"]
    whole = resource.answered({}, resource.PLAIN, end.generation, stamp())["output"]
    assert output == whole
    texts = [part for item in output for part in item.get("content", item.get("summary", []))]
    kept = "".join(part.get("text") or part.get("refusal") or "" for part in texts)
    spoken = "".join(text for delta in deltas for text in delta.values() if isinstance(text, str))
    assert [kept.count(letter) for letter in "aé"] == [spoken.count(letter) for letter in "aé"]


# Nothing closes what was not opened, of which a stream knows too late.
MATCHED = st.lists(
    st.sampled_from(["<think>", "<think>a</think>", "<think></think>", "a", "<th", "é\n", "< "]), max_size=6
)


OPENED = ProfileSettings(name="p", engine_model="e", begins_in_thought=True)


@given(MATCHED, st.text("ab", max_size=2), st.lists(st.sampled_from("fg"), max_size=2), st.booleans(), st.data())
def test_an_answer_in_pieces_is_the_answer_in_one(
    texts: list[str], thought: str, names: list[str], begins_in_thought: bool, data: st.DataObject
) -> None:
    settings = OPENED if begins_in_thought else PLAIN
    if begins_in_thought and not thought:
        texts = ["<thought</think>", *texts]
    content = "".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
    pieces = [content[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    calls = [call(number, id=f"c{number}", name=name, arguments="{}") for number, name in enumerate(names)]
    deltas = [*({"reasoning": letter} for letter in thought), *({"content": piece} for piece in pieces), *calls]
    stream = exchange(settings=settings).stream(stamp())
    streamed = read_events(stream.feed(said(*deltas)) + stream.finish(1001).body)[-1]["response"]
    message = {"reasoning": thought, "content": content, "tool_calls": [one["tool_calls"][0] for one in calls]}
    raw = msgspec.json.encode({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE})
    whole = msgspec.json.decode(exchange(settings=settings).answer(raw, stamp()).body)
    assert spoken_in(streamed) == spoken_in(whole)
    kinds = [item["type"] for item in streamed["output"]]
    if kinds == [item["type"] for item in whole["output"]]:
        assert streamed == whole


def spoken_in(response: dict[str, Any]) -> dict[str, Any]:
    """Return what a response says by kind: a stream alone tells where thoughts stood between texts."""
    output = response["output"]
    return {
        **response,
        "output": [call["call_id"] for call in output if call["type"] == "function_call"],
        "thoughts": [part["text"] for item in output for part in item.get("summary", ())],
        "text": "".join(part["text"] for item in output for part in item.get("content") or ()),
    }


@given(STREAMS, st.data())
def test_cutting_the_bytes_changes_nothing(raw: bytes, data: st.DataObject) -> None:
    whole, cut = exchange().stream(stamp()), exchange().stream(stamp())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    sent = b"".join(cut.feed(raw[start:end]) for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True))
    assert sent + cut.finish(1001).body == whole.feed(raw) + whole.finish(1001).body


@given(STREAMS, st.data())
def test_failing_anywhere_leaves_a_whole_stream(raw: bytes, data: st.DataObject) -> None:
    stream = exchange().stream(stamp())
    sent = stream.feed(raw[: data.draw(st.integers(0, len(raw)))])
    if data.draw(st.booleans()):
        sent += stream.still_going()
    found = read_events(sent + stream.fail(BrokenOffError("It broke off.")))
    check_life(found)
    assert found[-1]["type"] == "response.failed"
