"""Streamed answers over real sockets: what clients read, and what is in the database when they have read it."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest
from django.db.utils import OperationalError
from openai import AsyncOpenAI
from openai.types.responses import Response

from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.gateway import Gateway
from responses_api.ledger import Ledger, Row
from responses_api.ledger.batch import Job, commit
from responses_api.ledger.writer import Writer
from responses_api.models import ResponseRecord, Session
from responses_api.trace import Arrival
from tests.contract.life import check_stream, read_events
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, record, running
from tests.web.streams import ask, ask_chat

pytestmark = pytest.mark.django_db(transaction=True)

CALL = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def test_an_answer_is_streamed_and_in_the_ledger(site: Site) -> None:
    streamed = ask(site, "hello there", headers={"x-session-id": "mine", "x-request-id": "trace-me"})
    assert streamed.deltas == ["echo:", " hello", " there"]
    assert streamed.last["output"][0]["content"][0]["text"] == "echo: hello there"
    assert (streamed.last["status"], streamed.last["usage"]["output_tokens"]) == ("completed", 4)
    Response.model_validate(streamed.last)
    names = ("x-session-id", "x-request-id", "x-roundhouse-endpoint", "cache-control", "x-accel-buffering")
    assert [streamed.headers[name] for name in names] == ["mine", "trace-me", "engine-0", "no-cache", "no"]
    sent = site.engine.chats[0]
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    row = ResponseRecord.objects.get(response_id=streamed.last["id"])
    assert (row.api, row.endpoint_name, row.status, row.http_status) == ("responses", "engine-0", "completed", 200)
    assert (row.input_tokens, row.output_tokens, row.finish_reason, row.attempts) == (2, 4, "stop", 1)
    assert row.engine_ms is not None
    assert row.duration_ms >= row.engine_ms
    assert Session.objects.get().requests == 1


def test_the_row_is_there_before_the_terminal_event(site: Site) -> None:
    site.engine.script.append(Step(gap=0.5))
    rows: list[int] = []
    with site.openai() as client, client.responses.create(model="tiny", input="a b c", stream=True) as events:
        for event in events:
            rows.append(ResponseRecord.objects.count())
            if event.type == "response.completed":
                break
    assert rows[-1] == 1
    assert rows[0] == 0


def test_openais_helper_follows_a_tool_call(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "Let me see.", "reasoning": "h m", "tool_calls": [CALL]}))
    with site.openai() as client, client.responses.stream(model="tiny", input="hi", tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    last = response.output[-1]
    assert last.type == "function_call"
    assert (last.call_id, last.name, last.arguments) == ("call_7", "weather", '{"city": "Oslo"}')
    assert kinds.count("response.function_call_arguments.delta") == 4
    assert kinds.count("response.reasoning_summary_text.delta") == 2
    assert response.output_text == "Let me see."


def test_openais_async_client_reads_events(site: Site) -> None:
    async def read() -> list[str]:
        async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
            events = await client.responses.create(model="tiny", input="hello", stream=True)
            return [event.delta async for event in events if event.type == "response.output_text.delta"]

    assert asyncio.run(read()) == ["echo:", " hello"]


def test_tagged_thoughts_are_told_from_text(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "<think>h m</think>yes it is"}))
    reasoning, message = ask(site).last["output"]
    assert reasoning["summary"][0]["text"] == "h m"
    assert message["content"][0]["text"] == "yes it is"


@pytest.mark.parametrize(
    ("step", "cause", "status"),
    [
        (Step(message={"content": None}, usage={"prompt_tokens": 1, "completion_tokens": 1}), "no_tokens", "completed"),
        (Step(message={"content": "<think>hm</think>"}), "reasoning_only", "completed"),
        (Step(message={"content": "<think>hm"}, finish_reason="length"), "length_before_text", "incomplete"),
        (Step(message={"content": None, "refusal": "I will not."}), "refusal", "completed"),
        (
            Step(status=400, body={"error": {"message": "max_tokens=9 cannot be greater than max_model_len=2."}}),
            "context_overflow",
            "incomplete",
        ),
    ],
)
def test_an_empty_stream_has_its_cause_in_the_ledger(site: Site, step: Step, cause: str, status: str) -> None:
    site.engine.script.extend([step, step])
    streamed = ask(site)
    assert streamed.last["status"] == status
    ask_chat(site)
    rows = ResponseRecord.objects.values_list("empty_cause", "status", "http_status")
    assert [*rows] == [(cause, status, 200)] * 2


class Gathered:
    """Where a stream goes that a test reads when it has ended."""

    def __init__(self) -> None:
        self.sent = b""
        self.ended = False

    async def start(self, headers: list[tuple[str, str]]) -> None:
        assert ("X-Roundhouse-Endpoint", "engine-0") in headers

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def end(self, data: bytes) -> None:
        self.sent += data
        self.ended = True


async def read(site: Site, ledger: Ledger | None = None) -> list[dict[str, Any]]:
    """Return the events of a gateway with a faster heart, called as its consumer calls it."""
    gateway = Gateway(cookie_secret=b"secret", secure_cookies=False, heartbeat_seconds=0.05)
    pins = gateway.ledger
    gateway.ledger = ledger or pins
    body = b'{"model": "tiny", "input": "hi", "stream": true}'
    outlet = Gathered()
    arrival = Arrival({"authorization": f"Bearer {site.key}"}, body, "req_1")
    assert await gateway.answer(ResponsesExchange, arrival, outlet) is None
    await gateway.close()
    await pins.close()
    assert outlet.ended
    events = read_events(outlet.sent)
    check_stream(events)
    return events


def test_a_long_silence_is_filled(site: Site) -> None:
    site.engine.script.append(Step(gap=1))
    kinds = [event["type"] for event in asyncio.run(read(site))]
    assert kinds.count("response.in_progress") > 3
    assert kinds[-1] == "response.completed"


def test_what_cannot_be_recorded_does_not_end_as_completed(site: Site) -> None:
    def write(jobs: Sequence[Job]) -> None:
        if any(isinstance(job.task, Row) for job in jobs):
            raise OperationalError("disk full")
        commit(jobs)

    last = asyncio.run(read(site, Ledger(writer=Writer(write=write))))[-1]
    assert last["type"] == "response.failed"
    assert "could not record" in last["response"]["error"]["message"]
    assert last["response"]["output"][0]["content"][0]["text"] == "echo: hi"
    assert not ResponseRecord.objects.exists()


def test_streams_follow_each_other_on_one_connection_to_the_engine(site: Site) -> None:
    ports = set()
    for number in range(10):
        assert ask(site, f"n{number}").last["output"][0]["content"][0]["text"] == f"echo: n{number}"
        ports |= {transport.get_extra_info("peername") for transport in [*site.engine._transports]}
    assert len(ports) <= 2


def test_chat_completions_are_streamed_through(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "a b", "reasoning": "hm"}))
    chunks = ask_chat(site)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning": "hm"},
        {"content": "a"},
        {"content": " b"},
        {},
    ]
    assert {chunk["model"] for chunk in chunks} == {"tiny"}
    row = ResponseRecord.objects.get(response_id=chunks[0]["id"])
    assert (row.api, row.status, row.output_tokens) == ("chat", "completed", 4)
    assert ask_chat(site, stream_options={"include_usage": True})[-1]["usage"]["prompt_tokens"] == 2


def test_openais_client_streams_chat_completions(site: Site) -> None:
    with site.openai() as client:
        stream = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == "echo: hello"
        begun = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "I"}}]}
        site.engine.script.append(Step(events=[begun, {"error": {"message": "CUDA error"}}]))
        broken = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        with pytest.raises(openai.APIError, match="CUDA error"):
            list(broken)


def test_a_stream_that_begins_with_an_error_is_an_error(site: Site) -> None:
    site.engine.script.append(Step(events=[{"error": {"message": "no such adapter", "code": 404}}]))
    with site.client() as client:
        refused = client.post("/responses", json={"model": "tiny", "input": "hi", "stream": True})
    assert (refused.status_code, refused.json()["error"]["message"]) == (404, "no such adapter")


def test_streamed_and_whole_answers_are_the_same(site: Site) -> None:
    site.engine.always = Step(message={"content": "<think>h m</think>yes", "tool_calls": [CALL]})
    whole, streamed = site.ask(tools=[TOOL]), ask(site, tools=[TOOL]).last
    first, second = record(whole), ResponseRecord.objects.get(response_id=streamed["id"])
    assert (first.empty_cause, first.output_tokens) == (second.empty_cause, second.output_tokens)

    def without_ids(body: dict[str, Any]) -> dict[str, Any]:
        output = [{**item, "id": ""} for item in body["output"]]
        return {**body, "id": "", "created_at": 0, "completed_at": 0, "output": output}

    assert without_ids(streamed) == without_ids(whole.json())
