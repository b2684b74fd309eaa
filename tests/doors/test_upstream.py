"""The door to the engines, against real servers on real sockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from responses_api.errors import BadAnswerError, BrokenOffError, ConnectError, EngineTimeoutError
from responses_api.upstream import Upstream, UpstreamAnswer, UpstreamStream
from tests.fakes.scripted_vllm import ScriptedVllm, Step

BODY = msgspec.json.encode({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]})


@pytest.fixture
def engine() -> Iterator[ScriptedVllm]:
    with ScriptedVllm(api_key="engine-key") as running:
        yield running


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    door = Upstream()
    yield door
    await door.close()


async def ask(upstream: Upstream, engine: ScriptedVllm, seconds: float = 10) -> UpstreamAnswer:
    url = engine.base_url + "/chat/completions"
    return await upstream.post(url, BODY, api_key="engine-key", timeout_seconds=seconds)


async def test_an_answer_comes_whole_whatever_its_status(upstream: Upstream, engine: ScriptedVllm) -> None:
    answer = await ask(upstream, engine)
    assert answer.status == 200
    assert msgspec.json.decode(answer.body)["choices"][0]["message"]["content"] == "echo: hi"
    engine.script.append(Step(status=503, body={"error": "busy"}, headers={"retry-after": "7"}))
    answer = await ask(upstream, engine)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b'{"error":"busy"}', "7")


async def test_the_engine_sees_its_key_and_no_cookies(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(headers={"set-cookie": "a=b"}))
    await ask(upstream, engine)
    await ask(upstream, engine)
    headers = engine.requests[-1].headers
    assert headers["authorization"] == "Bearer engine-key"
    assert headers["content-type"] == "application/json"
    assert "cookie" not in headers


async def test_a_redirect_is_not_followed(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(status=307, body="", headers={"location": "http://127.0.0.1:1/"}))
    assert (await ask(upstream, engine)).status == 307


async def test_nobody_listening_is_a_connect_error(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.kill()
    with pytest.raises(ConnectError, match=r"^The engine cannot be reached: .*refused"):
        await ask(upstream, engine)
    with pytest.raises(ConnectError):
        await open_stream(upstream, engine)


@pytest.mark.parametrize(
    "url",
    [
        *("http://no-such-host.invalid/v1", "http://127.0.0.1:99999/v1", "http://[no-such-host/v1"),
        *("http://no-such-host..invalid/v1", "no-such-host"),
    ],
)
async def test_an_address_that_leads_nowhere_is_a_connect_error(upstream: Upstream, url: str) -> None:
    with pytest.raises(ConnectError) as caught:
        await upstream.post(url, BODY, api_key="", timeout_seconds=10)
    assert "no-such-host" not in str(caught.value)  # callers see it


@pytest.mark.parametrize("where", ["before", "middle"])
async def test_a_broken_connection_is_told_from_one_that_never_was(
    upstream: Upstream, engine: ScriptedVllm, where: str
) -> None:
    engine.script.append(msgspec.convert({"break_off": where}, Step))
    with pytest.raises(BrokenOffError):
        await ask(upstream, engine)
    assert (await ask(upstream, engine)).status == 200


async def test_an_engine_that_dies_while_it_answers_breaks_off(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(hang=True))
    asking = asyncio.create_task(ask(upstream, engine))
    await wait_for_requests(engine, 1)
    await asyncio.to_thread(engine.kill)
    with pytest.raises(BrokenOffError):
        await asking


async def test_an_answer_that_takes_too_long_times_out(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(hang=True))
    started = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=r"0\.2 seconds"):
        await ask(upstream, engine, seconds=0.2)
    assert time.monotonic() - started < 15


async def test_cancelling_closes_the_connection(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(hang=True))
    asking = asyncio.create_task(ask(upstream, engine))
    await wait_for_requests(engine, 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    deadline = time.monotonic() + 30
    while not engine.requests[0].client_left:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_an_answer_has_a_largest_size(engine: ScriptedVllm) -> None:
    upstream = Upstream(max_answer_bytes=1000)
    engine.script.append(Step(body="x" * 1001))
    with pytest.raises(BadAnswerError, match="larger than 1000 bytes"):
        await ask(upstream, engine)
    await upstream.close()


async def test_an_answer_that_is_not_http_is_a_broken_connection(upstream: Upstream) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"220 smtp.example.com ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(BrokenOffError, match="not HTTP") as caught:
            await upstream.post(f"http://127.0.0.1:{port}/v1", BODY, api_key="", timeout_seconds=10)
    assert str(port) not in str(caught.value)  # callers see it


async def test_many_wait_at_once_and_silent_peers_are_noticed(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.always = Step(delay=0.3)
    started = time.monotonic()
    answers = await asyncio.gather(*(ask(upstream, engine, seconds=60) for _ in range(200)))
    assert {answer.status for answer in answers} == {200}
    assert time.monotonic() - started < 30  # one after the other they take a minute
    options = [
        connection._transport.get_extra_info("socket") for connection in upstream.pool._origins if connection._transport
    ]
    assert options
    assert all(made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for made in options)


STREAM_BODY = BODY.replace(b'{"model"', b'{"stream":true,"model"')


async def open_stream(upstream: Upstream, engine: ScriptedVllm, seconds: float = 10) -> UpstreamStream:
    url = engine.base_url + "/chat/completions"
    opened = await upstream.open(url, STREAM_BODY, api_key="engine-key", timeout_seconds=seconds)
    assert isinstance(opened, UpstreamStream)
    return opened


async def read_all(stream: UpstreamStream) -> bytes:
    raw = stream.first
    while data := await stream.read(30):
        raw += data
    assert data == b""
    stream.close()
    return raw


async def test_a_stream_comes_as_it_is_sent_and_its_connection_is_kept(
    upstream: Upstream, engine: ScriptedVllm
) -> None:
    engine.script.append(Step(gap=0.2))
    stream = await open_stream(upstream, engine)
    assert b"[DONE]" not in stream.first
    assert (await read_all(stream)).endswith(b"data: [DONE]\n\n")
    assert upstream.pool.count_idle() == 1


async def test_an_answer_that_is_no_stream_comes_whole(upstream: Upstream, engine: ScriptedVllm) -> None:
    url = engine.base_url + "/chat/completions"
    engine.script.extend([Step(status=503, body={"error": "busy"}), Step(body="<html>")])
    for status, body in ((503, b'{"error":"busy"}'), (200, b"<html>")):
        answer = await upstream.open(url, STREAM_BODY, api_key="engine-key", timeout_seconds=10)
        assert isinstance(answer, UpstreamAnswer)
        assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("step", [Step(break_off="before"), Step(break_off="headers"), Step(events=[])])
async def test_a_stream_that_ends_before_its_first_byte_may_be_asked_for_elsewhere(
    upstream: Upstream, engine: ScriptedVllm, step: Step
) -> None:
    engine.script.append(step)
    with pytest.raises(BrokenOffError):
        await open_stream(upstream, engine)


async def test_a_stream_that_breaks_off_says_so(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(break_off="middle"))
    stream = await open_stream(upstream, engine)
    assert b"assistant" in stream.first
    with pytest.raises(BrokenOffError):
        await read_all(stream)
    stream.close()


async def test_a_silence_is_reported_and_ends_as_a_stall(engine: ScriptedVllm) -> None:
    upstream = Upstream(stall_seconds=2)
    engine.script.append(Step(stall=True, events=["one", "two"]))
    stream = await open_stream(upstream, engine)
    assert stream.first == b"one"  # what was sent before the silence
    assert await stream.read(0.1) is None
    with pytest.raises(EngineTimeoutError, match=r"nothing for 2 seconds"):
        await stream.read(60)
    stream.close()
    await upstream.close()


async def test_a_stream_ends_in_time_however_steadily_it_flows(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.append(Step(gap=0.2, events=["more"] * 100))
    stream = await open_stream(upstream, engine, seconds=2)
    with pytest.raises(EngineTimeoutError, match="did not end"):
        await read_all(stream)
    stream.close()
    engine.script.append(Step(hang=True))
    with pytest.raises(EngineTimeoutError, match=r"0\.2 seconds"):
        await open_stream(upstream, engine, seconds=0.2)


async def test_closing_or_cancelling_a_stream_stops_the_engine(upstream: Upstream, engine: ScriptedVllm) -> None:
    engine.script.extend([Step(stall=True), Step(stall=True)])
    (await open_stream(upstream, engine)).close()
    reading = asyncio.create_task(read_all(stream := await open_stream(upstream, engine)))
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    stream.close()
    deadline = time.monotonic() + 30
    while not all(seen.client_left for seen in engine.requests):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def wait_for_requests(engine: ScriptedVllm, number: int) -> None:
    deadline = time.monotonic() + 30
    while len(engine.requests) < number:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
