"""Streams that go wrong: before the first byte another engine is asked, after it the stream ends politely."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.test import override_settings

from responses_api.models import ResponseRecord, Session, SessionMove
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running, until
from tests.web.streams import ask, ask_chat

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = {"choices": [{"index": 0, "delta": {"content": "kept"}}]}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


@pytest.mark.parametrize(
    "step",
    [Step(status=503, body=""), Step(break_off="before"), Step(break_off="headers"), Step(events=[])],
)
def test_before_the_first_byte_another_engine_answers(step: Step) -> None:
    with running(engines=2) as site:
        site.engines[0].script.append(step)
        streamed = ask(site, headers={"x-session-id": "mine"})
        assert streamed.headers["x-roundhouse-endpoint"] == "engine-1"
        assert streamed.last["status"] == "completed"
        row = ResponseRecord.objects.get()
        assert (row.attempts, row.endpoint_name, row.status) == (2, "engine-1", "completed")
        assert SessionMove.objects.get().new_endpoint == "engine-1"


FAULTS = [
    (Step(break_off="middle"), "upstream_error", "broke the connection off"),
    (Step(events=[TEXT]), "upstream_error", "in the middle"),
    (Step(events=[TEXT, "data: <html>\n\n"]), "upstream_error", "not a chat completion"),
    (Step(events=[TEXT, {"error": {"message": "CUDA error"}}, "data: [DONE]\n\n"]), "upstream_error", "CUDA error"),
    (Step(events=["data: [DONE]\n\n"]), "upstream_error", "no choices"),
    (Step(events=[TEXT, 'data: {"choices": [{"ind']), "upstream_error", "in the middle"),
    (Step(events=[TEXT, 'data: {"choices": [{"ind\n\n']), "upstream_error", "not a chat completion"),
    (Step(events=[TEXT, "data: [DONE]"]), "upstream_error", "in the middle"),
    (Step(events=["<html></html>"]), "upstream_error", "in the middle"),
    (Step(stall=True), "engine_timeout", "did not end its answer in time"),
]


@pytest.mark.parametrize(("step", "code", "message"), FAULTS)
@pytest.mark.parametrize("api", ["responses", "chat"])
def test_after_the_first_byte_the_stream_ends_as_failed(step: Step, code: str, message: str, api: str) -> None:
    with running(engines=2, request_timeout_seconds=2 if step.stall else 60) as site:
        site.engine.script.append(step)
        if api == "responses":
            streamed = ask(site)
            assert (streamed.events[-1]["type"], streamed.last["error"]["code"]) == ("response.failed", "server_error")
            told = streamed.last["error"]["message"]
            assert "".join(streamed.deltas) == "".join(item["content"][0]["text"] for item in streamed.last["output"])
        else:
            told = ask_chat(site)[-1]["error"]["message"]
        assert message in told
        row = ResponseRecord.objects.get()
        assert (row.status, row.error_code, row.http_status, row.attempts) == ("failed", code, 200, 1)
        assert message in row.detail
        assert Session.objects.get().errors == 1
        assert len(site.engines[1].requests) == 0
        if step.stall:
            until(lambda: site.engine.requests[0].client_left, seconds=10)


def test_an_engine_that_is_killed_in_the_middle_leaves_a_whole_stream(site: Site) -> None:
    site.engine.script.append(Step(gap=0.1))
    with ThreadPoolExecutor(1) as executor:
        asking = executor.submit(ask, site, "a b c d e f g h " * 20)
        until(lambda: site.engine.requests and site.engine.requests[0].sent > 3)
        site.engine.kill()
        streamed = asking.result(60)
    assert streamed.events[-1]["type"] == "response.failed"
    assert streamed.last["output"][0]["status"] == "incomplete"
    assert streamed.deltas[:2] == ["echo:", " a"]


def test_an_answer_that_was_whole_when_the_connection_broke_is_completed(site: Site) -> None:
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    site.engine.script.append(Step(events=[TEXT, finish]))
    assert ask(site).last["status"] == "completed"
    assert ResponseRecord.objects.get().status == "completed"


def test_an_engine_that_ends_twice_or_talks_on_is_heard_to_its_first_end(site: Site) -> None:
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    site.engine.script.append(Step(events=[TEXT, finish, finish, "data: [DONE]\n\n", TEXT, "data: [DONE]\n\n"]))
    streamed = ask(site)
    assert (streamed.last["status"], streamed.deltas) == ("completed", ["kept"])


def test_a_long_silence_is_filled_and_a_longer_one_ends_the_stream() -> None:
    with override_settings(HEARTBEAT_SECONDS=0.2, STALL_SECONDS=3), running() as site:
        site.engine.script.append(Step(stall=True))
        streamed = ask(site)
    assert [event["type"] for event in streamed.events].count("response.in_progress") > 2
    assert streamed.last["error"]["message"] == "The engine sent nothing for 3 seconds."


@pytest.mark.parametrize(
    ("step", "status", "message"),
    [
        (Step(status=400, body={"error": {"message": "top_k must be -1"}}), 400, "top_k must be -1"),
        (Step(status=500, body={"error": {"message": "CUDA error"}}), 502, "CUDA error"),
        (Step(body={"choices": []}), 502, "did not"),
    ],
)
@pytest.mark.parametrize("path", ["/responses", "/chat/completions"])
def test_an_error_before_the_stream_is_an_ordinary_error(
    site: Site, step: Step, status: int, message: str, path: str
) -> None:
    site.engine.script.append(step)
    messages = [{"role": "user", "content": "hi"}]
    given: dict[str, object] = {"input": "hi"} if path == "/responses" else {"messages": messages}
    with site.client() as client:
        response = client.post(path, json={"model": "tiny", "stream": True, **given})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert message in response.json()["error"]["message"]
    assert ResponseRecord.objects.get().http_status == status


def leave(site: Site, *, after: bytes) -> None:
    """Read a stream until some bytes have come, then hang up."""
    body = {"model": "tiny", "input": "a b c d", "stream": True}
    with site.client() as client, client.stream("POST", "/responses", json=body) as response:
        seen = b""
        for data in response.iter_bytes():
            seen += data
            if after in seen:
                return
    pytest.fail(f"It ended before: {seen!r}")


def test_a_caller_who_leaves_stops_the_engine_and_is_recorded(site: Site) -> None:
    site.engine.script.append(Step(stall=True))
    leave(site, after=b"output_text.delta")
    until(lambda: site.engine.requests[0].client_left, seconds=10)
    row = until(ResponseRecord.objects.first)
    assert (row.status, row.error_code, row.http_status, row.attempts) == ("failed", "client_left", 499, 1)
    assert Session.objects.get().errors == 1


def test_a_caller_who_leaves_after_the_terminal_event_has_not_left(site: Site) -> None:
    for _ in range(5):
        leave(site, after=b"event: response.completed")
    assert ask(site).last["status"] == "completed"
    assert [*ResponseRecord.objects.values_list("status", flat=True)] == ["completed"] * 6
    assert until(lambda: all(seen.answered for seen in site.engine.requests))


def test_a_slow_reader_slows_the_engine_and_loses_nothing(site: Site) -> None:
    """The engine's stream is larger than all buffers between it and a reader who does not read."""
    events = [{"choices": [{"index": 0, "delta": {"content": "x" * 20_000}}]}] * 1000
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    site.engine.script.append(Step(events=[*events, finish, "data: [DONE]\n\n"]))

    async def read() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port, limit=2**16)
        body = json.dumps({"model": "tiny", "input": "hi", "stream": True}).encode()
        head = f"POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {site.key}\r\n"
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.to_thread(until, lambda: site.engine.requests and site.engine.requests[0].sent)
        await asyncio.sleep(1)
        assert site.engine.requests[0].sent < 1000
        raw = await reader.read()
        writer.close()
        await writer.wait_closed()
        return raw

    raw = asyncio.run(read())
    assert raw.count(b"event: response.output_text.delta") == 1000
    assert raw.count(b"event: response.completed") == 1


async def _ask_all(site: Site, number: int) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {site.key}"}
    limits = httpx.Limits(max_connections=number, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=site.url, headers=headers, limits=limits, timeout=60) as client:
        body = {"model": "tiny", "input": "one two three", "stream": True}
        return await asyncio.gather(*(client.post("/responses", json=body) for _ in range(number)))


def test_a_hundred_streams_at_once_are_counted_exactly(site: Site) -> None:
    site.engine.always = Step(gap=0.02)
    answers = asyncio.run(_ask_all(site, 100))
    assert all(b"event: response.completed" in answer.content for answer in answers)
    assert ResponseRecord.objects.filter(status="completed", output_tokens=5).count() == 100
