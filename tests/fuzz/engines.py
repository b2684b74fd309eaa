"""What an engine might answer: chat completions and streams of them, whole and harmed, errors, and no HTTP at all."""

from typing import Any

from hypothesis import strategies as st

from tests.fakes.scripted_vllm import Step
from tests.fuzz.bodies import Some, of, one, text
from tests.fuzz.mutation import Draw, dump, harmed, odd, spoiled

finish = of("stop", "length", "tool_calls", "content_filter", "abort", "error", None, "")
count = of(0, 1, 7, None, -1, 1.5, 2**70)
usage = (
    one(
        prompt_tokens=count,
        completion_tokens=count,
        may={
            "total_tokens": count,
            "prompt_tokens_details": of(None, {"cached_tokens": 3}, {"cached_tokens": "x"}),
            "completion_tokens_details": of(None, {"reasoning_tokens": 3}, {}),
        },
    )
    | st.none()
)
function = one(may={"name": of("f", "", None), "arguments": of("{}", "", None, {"a": 1}, [])})
calls = st.lists(
    one(function=function, may={"id": of("c1", "c2", None), "index": of(0, 1, None), "type": "function"}), max_size=3
)
said = {
    "content": text | st.none() | st.lists(one(type="text", text=text), max_size=2),
    "reasoning": text | st.none(),
    "reasoning_content": text | st.none(),
    "refusal": text | st.none(),
    "tool_calls": calls | st.none(),
    "function_call": function | st.none(),
    "role": "assistant",
}
message = one(may=said)
completions = one(
    id="x",
    object="chat.completion",
    created=1,
    model="e",
    choices=st.lists(one(index=0, message=message, finish_reason=finish), min_size=1, max_size=2),
    usage=usage,
)
chunks = st.one_of(
    one(
        id="x",
        model="e",
        choices=st.lists(one(index=of(0, 0, 0, 1), delta=message, may={"finish_reason": finish}), max_size=2),
    ),
    one(choices=[], usage=usage),
)
OVERFLOW = (
    "This model's maximum context length is 2048 tokens. However, you requested 16 output tokens and your prompt "
    "contains at least 2048 input tokens, for a total of at least 2064 tokens. Please reduce the length of the input "
    "prompt or the number of requested output tokens. (parameter=input_tokens, value=2048)"
)
words = of("No.", "", OVERFLOW, "x" * 5000, "é\u2028\x00", "Traceback (most recent call last):\n  File")
errors = st.one_of(
    one(
        error=one(
            message=words, may={"type": "BadRequestError", "param": of("input_tokens", None, 1), "code": of(400, "x")}
        )
    ),
    one(object="error", message=words, code=400),
    one(detail=words),
    one(error=words),
)
statuses = of(
    200, 200, 201, 206, 301, 308, 400, 401, 403, 404, 405, 413, 422, 429, 451, 499, 500, 501, 502, 503, 504, 599
)
content_types = of(
    *("application/json", "text/event-stream", "text/event-stream; charset=utf-16", "text/html", "", "x", "a/b; c"),
)
headers = one(
    may={
        "content-type": content_types,
        "retry-after": of("1", "soon", "-1", "é", ""),
        "content-encoding": of("gzip", "x"),
        "connection": "close",
        "location": "http://127.0.0.1:1/",
        "set-cookie": "a=b",
    }
)

DONE = b"data: [DONE]\n\n"
frames = st.one_of(
    harmed(chunks, most=1).map(lambda data: b"data: " + data + b"\n\n"),
    harmed(chunks, most=0).map(lambda data: b"data: " + data + b"\n\n"),
    harmed(chunks, most=0).map(lambda data: b"event: x\r\nid: 1\r\ndata: " + data + b"\r\n\r\n"),
    harmed(errors, most=1).map(lambda data: b"data: " + data + b"\n\n"),
    of(DONE, b": still here\n\n", b"\n", b"data\n\n", b"data:\n\n", b"event: x\n\n", b"\xef\xbb\xbf", b"retry: 1\n\n"),
    st.binary(max_size=12),
    odd.map(lambda value: b"data: " + dump(value) + b"\n\n"),
)


@st.composite
def streams(draw: Draw) -> list[bytes]:
    """A stream's pieces: frames that mostly make sense, cut at other places than where they end."""
    good = harmed(chunks, most=0).map(lambda data: b"data: " + data + b"\n\n")
    found: list[bytes] = draw(st.lists(draw(of(good, good, frames)), max_size=6))
    raw = b"".join([*found, *draw(of([DONE], [DONE], [], [DONE, DONE]))])
    raw = draw(spoiled(st.just(raw)))
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=3)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    return [piece for piece in pieces if piece]


def step(**fields: Some) -> Some:
    return st.fixed_dictionaries(fields).map(_step)


def _step(fields: dict[str, Any]) -> Step:
    return Step(**fields)


break_off = of(*[""] * 8, "before", "middle")
whole = st.one_of(
    step(body=spoiled(harmed(completions)), break_off=break_off),
    step(body=spoiled(harmed(completions)), headers=headers),
    step(body=spoiled(harmed(errors)), status=statuses, headers=headers),
    step(body=st.binary(max_size=40), status=statuses, headers=headers),
)
flowing = st.one_of(
    step(events=streams(), break_off=of(*[""] * 8, "headers", "middle")),
    step(
        body=streams().map(b"".join), headers=headers.map(lambda given: {**given, "content-type": "text/event-stream"})
    ),
)
streamed = of(True, True, True, False).flatmap(lambda flows: flowing if flows else whole)
