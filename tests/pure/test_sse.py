"""Server-sent events, cut wherever a network cuts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responses_api import sse
from responses_api.errors import BadAnswerError
from responses_api.sse import Decoder, Event


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"", []),
        (b"data: a\n\n", [Event("", b"a")]),
        (b"data:a\n\n", [Event("", b"a")]),
        (b"data:  a\n\n", [Event("", b" a")]),
        (b"data: a\r\n\r\ndata: b\r\r", [Event("", b"a"), Event("", b"b")]),
        (b"event: x\ndata: a\ndata: b\n\n", [Event("x", b"a\nb")]),
        (b": ping\n\n: ping\n\ndata: a\n\n", [Event("", b"a")]),
        (b"event: x\n\ndata: a\n\n", [Event("", b"a")]),
        (b"id: 7\nretry: 9\nother\ndata: a\n\n", [Event("", b"a")]),
        (b"data\n\n", [Event("", b"")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("", b"a")]),
        (b'data: {"a": 1}\n\ndata: [DONE]\n\n', [Event("", b'{"a": 1}'), Event("", b"[DONE]")]),
        (b"data: \xe2\x80\xa8\x85\x0b\n\n", [Event("", b"\xe2\x80\xa8\x85\x0b")]),
        (b"data: a\n\ndata: never ended\n", [Event("", b"a")]),
        (b"<html>\r\n<body>", []),
    ],
)
def test_events_are_read_whole_and_byte_by_byte(raw: bytes, events: list[Event]) -> None:
    assert Decoder().feed(raw) == events
    decoder = Decoder()
    assert [event for byte in raw for event in decoder.feed(bytes([byte]))] == events


@given(
    st.lists(st.sampled_from([b"data: a", b"data:", b"event: e", b": c", b"\n", b"\r", b"\r\n", b"\xff"])), st.data()
)
def test_cutting_changes_nothing(pieces: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    decoder = Decoder()
    found: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += decoder.feed(raw[start:end])
    assert found == Decoder().feed(raw)


def test_the_end_is_known() -> None:
    (done,) = Decoder().feed(sse.DONE_FRAME)
    assert done.is_done
    assert not Event("", b"{}").is_done


def test_what_is_written_is_read() -> None:
    raw = sse.frame("response.created", b'{"a":1}') + sse.nameless(b"{}")
    assert raw == b'event: response.created\ndata: {"a":1}\n\ndata: {}\n\n'
    assert Decoder().feed(raw) == [Event("response.created", b'{"a":1}'), Event("", b"{}")]


@pytest.mark.parametrize("raw", [b"data: " + b"x" * 200, b"data: 12345678901234567890\n" * 10])
def test_an_event_has_a_largest_size(raw: bytes) -> None:
    decoder = Decoder(max_event_bytes=100)
    assert decoder.feed(b"data: " + b"x" * 90 + b"\n\n") != []
    with pytest.raises(BadAnswerError, match="larger than 100 bytes"):
        [decoder.feed(bytes([byte])) for byte in raw]
