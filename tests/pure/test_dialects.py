"""What engines of other dialects are asked, and how their words become chat completions: rows of tables."""

import json
from typing import Any

import pytest

from responses_api import wire
from responses_api.convert import dialects, generation
from responses_api.convert.dialects import CHAT, Dialect
from responses_api.convert.gathering import Gathering, decode, read
from responses_api.convert.manner import Manner
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import BadAnswerError, EngineError, RequestError
from tests.pure.streams import stamp

SYSTEM, USER = {"role": "system", "content": "S"}, {"role": "user", "content": "hi"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
TOOL = {"type": "function", "function": {"name": "f"}}


def dialect(*, native: bool = False, **settings: Any) -> Dialect:
    made = ProfileSettings(name="tiny", engine_model="tiny", **settings)
    return dialects.of(made, input_param="messages", native=native)


def completions() -> Dialect:
    return dialect(use_completions_api=True)


def rendered() -> Dialect:
    return dialect(use_completions_api=True, render_chat_template=True)


def native() -> Dialect:
    return dialect(is_responses_native=True, native=True)


def test_the_profile_decides() -> None:
    assert dialect() is CHAT
    assert dialect(is_responses_native=True) is CHAT  # chat completions stay chat completions
    assert [made().path for made in (completions, rendered, native)] == ["completions", "completions", "responses"]
    assert [made().asks_before for made in (completions, rendered, native)] == [False, True, False]


@pytest.mark.parametrize(
    ("chat", "sent"),
    [
        ({"messages": [USER]}, {"prompt": "hi"}),
        ({"messages": [SYSTEM, USER]}, {"prompt": "S\n\nhi"}),
        ({"messages": [{**SYSTEM, "role": "developer"}, PARTS]}, {"prompt": "S\n\nab"}),
        ({"messages": [USER], "max_completion_tokens": 5}, {"prompt": "hi", "max_tokens": 5}),
        ({"messages": [USER], "logprobs": True}, {"prompt": "hi", "logprobs": 0}),
        ({"messages": [USER], "logprobs": True, "top_logprobs": 3}, {"prompt": "hi", "logprobs": 3}),
        ({"messages": [USER], "logprobs": False, "tools": [], "metadata": {"a": "b"}}, {"prompt": "hi"}),
        (
            {"messages": [USER], "temperature": None, "top_k": 4, "stop": ["x"], "response_format": {"type": "text"}},
            {"prompt": "hi", "temperature": None, "top_k": 4, "stop": ["x"], "response_format": {"type": "text"}},
        ),
        (
            {"messages": [USER], "logprobs": True, "top_logprobs": 0, "return_tokens_as_token_ids": True},
            {"prompt": "hi", "logprobs": 0, "return_tokens_as_token_ids": True, "return_token_ids": True},
        ),
    ],
)
def test_a_conversation_becomes_a_prompt(chat: dict[str, Any], sent: dict[str, Any]) -> None:
    assert json.loads(completions().body(chat)) == sent


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [SYSTEM]}, "messages"),
        ({"messages": [USER, USER]}, "messages"),
        ({"messages": [SYSTEM, SYSTEM, USER]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "a"}]}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [IMAGE]}, "messages"),
        ({"messages": [{"role": "user", "content": None}]}, "messages"),
        ({"messages": [USER], "tools": [TOOL]}, "tools"),
    ],
)
def test_what_is_no_prompt_is_refused_by_name(chat: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        completions().body(chat)
    assert (refused.value.status, refused.value.param) == (400, param)


def completion(**choice: Any) -> bytes:
    given = {"index": 0, "text": "yes", "finish_reason": "stop", **choice}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    return wire.encode({"id": "cmpl-1", "created": 7, "model": "m", "choices": [given], "usage": usage})


@pytest.mark.parametrize("made", [completions, rendered])
def test_a_completion_is_read_as_a_chat_completion(made: Any) -> None:
    spoken = made().answer(completion(finish_reason=None))
    read = generation.decode(spoken)
    assert (read.choices[0].message.content, read.choices[0].finish_reason) == ("yes", "stop")
    assert read.usage == {"prompt_tokens": 1, "completion_tokens": 2}
    assert json.loads(spoken)["object"] == "chat.completion"


def test_a_completions_log_probs_are_told_token_by_token() -> None:
    logprobs = {"tokens": ["y", "token_id:7"], "token_logprobs": [-1.0, None], "top_logprobs": [{"y": -1.0}, None]}
    spoken = json.loads(completions().answer(completion(logprobs=logprobs, token_ids=[5, 7], prompt_token_ids=[1])))
    entry = {"token": "y", "logprob": -1.0, "bytes": [121]}
    assert spoken["choices"][0]["logprobs"]["content"] == [
        {**entry, "top_logprobs": [entry]},
        {"token": "token_id:7", "logprob": None, "bytes": None, "top_logprobs": []},
    ]
    assert (spoken["prompt_token_ids"], spoken["choices"][0]["token_ids"]) == ([1], [5, 7])


def test_a_completions_chunks_are_read_as_chunks() -> None:
    made = completions()
    first = json.loads(made.chunk(wire.encode({"choices": [{"index": 0, "text": "a", "prompt_token_ids": [1]}]})))
    second = json.loads(made.chunk(wire.encode({"choices": [{"index": 0, "text": "b", "prompt_token_ids": [1]}]})))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert second["choices"][0]["delta"] == {"content": "b"}
    assert (first["prompt_token_ids"], "prompt_token_ids" in second) == ([1], False)
    usage = json.loads(made.chunk(b'{"choices": [], "usage": {"prompt_tokens": 1}}'))
    assert (usage["choices"], usage["usage"]) == ([], {"prompt_tokens": 1})
    with pytest.raises(EngineError, match="no more"):
        decode(made.chunk(b'{"error": {"message": "no more"}}'))


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"choices": 1, "output": 1, "delta": 1}', b"\xff", b"[" * 5000])
@pytest.mark.parametrize("made", [completions, rendered, native])
def test_what_is_no_answer_is_the_engines_error(raw: bytes, made: Any) -> None:
    with pytest.raises(BadAnswerError):
        made().answer(raw)
    with pytest.raises(BadAnswerError):
        made().chunk(raw)


def test_the_engine_renders_and_its_tokens_are_the_prompt() -> None:
    made = rendered()
    chat = {
        "model": "tiny",
        "messages": [SYSTEM, USER, {"role": "assistant", "content": "a"}, USER],
        "tools": [TOOL],
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning_effort": "low",
        "temperature": 0.5,
    }
    question = made.before(chat)
    assert question is not None
    assert question.path == "/tokenize"
    assert json.loads(question.body) == {
        "model": "tiny",
        "messages": chat["messages"],
        "tools": [TOOL],
        "chat_template_kwargs": {"reasoning_effort": "low", "enable_thinking": False},
        "add_generation_prompt": True,
        "continue_final_message": False,
    }
    made.hear(b'{"count": 3, "max_model_len": 10, "tokens": [4, 5, 6]}')
    assert json.loads(made.body(chat)) == {"model": "tiny", "temperature": 0.5, "prompt": [4, 5, 6], "max_tokens": 7}
    assert json.loads(made.body({**chat, "max_tokens": 2}))["max_tokens"] == 2
    assert json.loads(made.answer(completion(token_ids=[9])))["prompt_token_ids"] == [4, 5, 6]
    assert "prompt_token_ids" not in json.loads(made.answer(completion()))


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_nobody_enforces_a_choice_of_tools_on_a_completion(choice: Any) -> None:
    with pytest.raises(RequestError) as refused:
        rendered().before({"model": "tiny", "messages": [USER], "tools": [TOOL], "tool_choice": choice})
    assert refused.value.param == "tool_choice"


def test_tools_that_must_not_be_called_are_not_rendered() -> None:
    question = rendered().before({"model": "tiny", "messages": [USER], "tools": [TOOL], "tool_choice": "none"})
    assert question is not None
    assert "tools" not in json.loads(question.body)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"tokens": ["a"]}', b'{"tokens": null}'])
def test_tokens_that_are_none_are_the_engines_error(raw: bytes) -> None:
    with pytest.raises(BadAnswerError):
        rendered().hear(raw)


def text(*texts: str) -> dict[str, Any]:
    parts: list[Any] = [{"type": "output_text", "text": one, "annotations": [], "logprobs": None} for one in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts}


def thought(said: str) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": said}]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": content, "status": None}


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
USAGE = {
    "input_tokens": 9,
    "output_tokens": 4,
    "total_tokens": 13,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens_details": {"reasoning_tokens": 1},
}
LOGPROB = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}


def resource(*output: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": "completed", "output": [*output], "usage": USAGE, **fields}


CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FILTERED = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}


def piece(kind: str, text: str = "", **more: Any) -> generation.Said:
    return generation.Said(generation.Kind[kind], text, **more)


CALLED = piece("CALL", call=generation.Call("c1", "f", '{"a": 1}'))


@pytest.mark.parametrize(
    ("given", "said", "finish_reason"),
    [
        (resource(text("a", "b")), [piece("TEXT", "ab")], "stop"),
        (resource(thought("t"), text("a")), [piece("THOUGHT", "t"), piece("TEXT", "a")], "stop"),
        (resource(thought("t"), thought("u")), [piece("THOUGHT", "t"), piece("THOUGHT", "u")], "stop"),
        (resource(), [], "stop"),
        (resource(text("a"), **CUT), [piece("TEXT", "a")], "length"),
        (resource(text("a"), **FILTERED), [piece("TEXT", "a")], "content_filter"),
        (resource({**text(), "content": [{"type": "refusal", "refusal": "no"}]}), [piece("REFUSAL", "no")], "stop"),
        (
            resource(thought("t"), SEARCH, text("a"), CALL, thought("u"), text("b")),
            [
                piece("THOUGHT", "t"),
                piece("OTHER", item=SEARCH),
                piece("TEXT", "a"),
                CALLED,
                piece("THOUGHT", "u"),
                piece("TEXT", "b"),
            ],
            "tool_calls",
        ),
        (resource(CALL), [CALLED], "tool_calls"),
    ],
)
def test_a_response_is_read_as_a_chat_completion_in_its_order(
    given: Any, said: list[generation.Said], finish_reason: str
) -> None:
    found = read(generation.decode(native().answer(wire.encode(given))), Manner(), stamp().new_id)
    assert (found.said, found.finish_reason, found.usage) == (said, finish_reason, generation.Usage(9, 4, 3, 1))
    items = [at("output_item.done", index, item=item) for index, item in enumerate(given["output"])]
    assert events(*items, at(given["status"], response=given)) == found


def test_a_responses_log_probs_are_kept() -> None:
    item = text("a")
    item["content"][0]["logprobs"] = [LOGPROB]
    assert json.loads(native().answer(wire.encode(resource(item))))["choices"][0]["logprobs"] == {"content": [LOGPROB]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (resource(status="failed", error={"code": "server_error", "message": "it fell"}), "it fell"),
        (resource(status="failed"), "does not say why"),
        (resource(status="queued"), "queued"),
    ],
)
def test_a_response_that_did_not_end_is_an_error(given: Any, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        native().answer(wire.encode(given))


def events(*given: dict[str, Any]) -> generation.Generation:
    """Return what a native stream says."""
    made, gathering = native(), Gathering(Manner(), stamp().new_id)
    for event in given:
        assert not made.ended
        gathering.add(decode(made.chunk(wire.encode({"sequence_number": 0, **event}))))
    assert made.ended
    return gathering.generation()


def at(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, **fields}


END = at("completed", response=resource(text("a b")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([at("output_text.delta", delta="a "), at("output_text.delta", delta="b")], {"text": "a b"}),
        ([at("output_item.done", item=text("a b"))], {"text": "a b"}),
        ([], {"text": "a b"}),
        ([at("output_text.delta", delta="a b"), at("output_item.done", item=text("a b"))], {"text": "a b"}),
        ([at("refusal.delta", delta="no")], {"refusal": "no", "text": ""}),
        ([at("reasoning_text.delta", delta="t"), at("reasoning_text.delta", delta="u")], {"thoughts": ["tu"]}),
        (
            [at("reasoning_text.delta", delta="t"), at("reasoning_summary_text.delta", delta="t")],
            {"thoughts": ["t"]},
        ),
        ([at("output_item.done", item=SEARCH)], {"others": [SEARCH], "text": ""}),
        (
            [
                at("output_item.added", item={**CALL, "arguments": ""}),
                at("function_call_arguments.delta", delta='{"a"'),
                at("function_call_arguments.delta", delta=": 1}"),
                at("function_call_arguments.done", arguments='{"a": 1}', name="f"),
                at("output_item.done", item=CALL),
            ],
            {"calls": [generation.Call("c1", "f", '{"a": 1}')]},
        ),
        (
            [at("output_item.added", item={**CALL, "arguments": ""}), at("output_item.done", item=CALL)],
            {"calls": [generation.Call("c1", "f", '{"a": 1}')]},
        ),
    ],
)
def test_a_native_stream_is_read_however_it_tells_its_items(given: list[Any], said: dict[str, Any]) -> None:
    generated = events(at("created", response=resource()), at("in_progress", response=resource()), *given, END)
    assert {name: getattr(generated, name) for name in said} == said
    assert (generated.finish_reason, generated.usage) == ("stop", generation.Usage(9, 4, 3, 1))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "server_error", "message": "it fell"}},
        {"type": "error", "code": None, "message": "it fell", "param": None},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "it fell"}}},
        {"type": "response.completed", "response": {"status": "failed", "error": {"message": "it fell"}}},
        {"error": {"message": "it fell", "code": 500}},
    ],
)
def test_an_error_in_a_native_stream_is_one(event: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="it fell"):
        decode(native().chunk(wire.encode(event)))
