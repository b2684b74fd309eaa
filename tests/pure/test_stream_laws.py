"""What is true of every stream, whatever an engine says, however it is cut, and wherever it ends."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from responses_api.errors import BrokenOffError
from tests.pure.streams import PLAIN, call, events_of, exchange, obey, said, stamp

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
STREAMS = st.builds(
    lambda deltas, finish: said(*deltas, finish=finish),
    st.lists(DELTAS, max_size=8),
    st.sampled_from(["stop", "length", "tool_calls", "abort"]),
)


@given(STREAMS)
def test_every_stream_obeys(raw: bytes) -> None:
    stream = exchange().stream(PLAIN, stamp())
    obey(events_of(stream.feed(raw) + stream.finish(1001).body))


@given(STREAMS, st.data())
def test_cutting_the_bytes_changes_nothing(raw: bytes, data: st.DataObject) -> None:
    whole, cut = exchange().stream(PLAIN, stamp()), exchange().stream(PLAIN, stamp())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    sent = b"".join(cut.feed(raw[start:end]) for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True))
    assert sent + cut.finish(1001).body == whole.feed(raw) + whole.finish(1001).body


@given(STREAMS, st.data())
def test_failing_anywhere_leaves_a_whole_stream(raw: bytes, data: st.DataObject) -> None:
    stream = exchange().stream(PLAIN, stamp())
    sent = stream.feed(raw[: data.draw(st.integers(0, len(raw)))])
    if data.draw(st.booleans()):
        sent += stream.still_going()
    found = events_of(sent + stream.fail(BrokenOffError("It broke off.")))
    obey(found)
    assert found[-1]["type"] == "response.failed"


@given(st.lists(DELTAS, max_size=8))
def test_nothing_that_was_said_is_lost(deltas: list[dict[str, Any]]) -> None:
    stream = exchange().stream(PLAIN, stamp())
    output = events_of(stream.feed(said(*deltas)) + stream.finish(1001).body)[-1]["response"]["output"]
    texts = [part for item in output for part in item.get("content", item.get("summary", []))]
    kept = "".join(part.get("text") or part.get("refusal") or "" for part in texts)
    kept += "".join(item["arguments"] for item in output if item["type"] == "function_call")
    spoken = "".join(text for delta in deltas for text in delta.values() if isinstance(text, str))
    assert kept.count("a") >= spoken.count("a")
    assert kept.count("é") == spoken.count("é")
