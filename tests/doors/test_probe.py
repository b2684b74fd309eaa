"""The probe against real servers that do every wrong thing."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from endpoints.probe import Look, ProbeError, Target, generate_token, look, look_at_all

Handler = Callable[[str, str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]

MODELS = {"data": [{"id": "tiny", "max_model_len": 2048}, {"id": "lora", "max_model_len": 1024}]}


@contextmanager
def server(handle: Handler) -> Iterator[str]:
    """Run a raw HTTP server in a thread; give its base URL. A raw one, because it must be able to misbehave."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    port: list[int] = []
    started = threading.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            await reader.readexactly(int(headers.get("content-length", "0")))
            await handle(method, path, headers, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        running = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        port.append(running.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        running.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait({task})

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(60)
    try:
        yield f"http://127.0.0.1:{port[0]}/v1"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def send(writer: asyncio.StreamWriter, status: int, body: bytes = b"") -> None:
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def routes(answers: dict[str, tuple[int, object]]) -> Handler:
    """Return a server that answers by path, and 404 to the rest."""

    async def handle(_method: str, path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        status, body = answers.get(path, (404, {}))
        send(writer, status, body if isinstance(body, bytes) else json.dumps(body).encode())

    return handle


def test_a_healthy_engine_tells_what_it_serves() -> None:
    with server(routes({"/health": (200, b""), "/v1/models": (200, MODELS)})) as url:
        assert look(Target(url, "")) == Look("", ("tiny", "lora"), 1024)


def test_without_a_health_route_the_list_of_models_is_proof() -> None:
    with server(routes({"/v1/models": (200, {"data": [{"id": "gpt"}]})})) as url:
        assert look(Target(url, "")) == Look("", ("gpt",), None)


def test_without_a_list_of_models_the_health_route_is_proof() -> None:
    with server(routes({"/health": (200, b"ok")})) as url:
        assert look(Target(url, "")) == Look("")


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({}, "GET /v1/models answers HTTP 404."),
        ({"/health": (503, b"")}, "GET /health answers HTTP 503."),
        ({"/health": (302, b"")}, "GET /health answers HTTP 302."),
        ({"/health": (200, b""), "/v1/models": (401, b"")}, "It refuses the API key"),
        ({"/health": (200, b""), "/v1/models": (500, b"")}, "GET /v1/models answers HTTP 500."),
        ({"/health": (200, b""), "/v1/models": (200, b"<html>")}, "something else than a JSON object"),
        ({"/health": (200, b""), "/v1/models": (200, b"\xff\xfe")}, "something else than a JSON object"),
        ({"/health": (200, b""), "/v1/models": (200, [1])}, "something else than a JSON object"),
        ({"/health": (200, b""), "/v1/models": (200, b"[" * 100_000)}, "something else than a JSON object"),
        ({"/health": (200, b""), "/v1/models": (200, {"data": 3})}, "without a list of models"),
        ({"/health": (200, b"x" * 1_000_001)}, "GET /health answers more than 1000000 bytes."),
    ],
)
def test_every_wrong_answer_is_a_sentence(answers: dict[str, tuple[int, object]], problem: str) -> None:
    with server(routes(answers)) as url:
        found = look(Target(url, ""))
        assert problem in found.problem
        assert found.listening


def test_odd_rows_in_the_list_of_models_are_left_out() -> None:
    unstorable = [{"id": "a\x00"}, {"id": "\ud800"}]
    odd = [{"id": "b", "max_model_len": -1}, {"id": "c", "max_model_len": True}, {"id": 3}, "x", None]
    rows = [{"id": "a", "max_model_len": "2048"}, *unstorable, *odd]
    with server(routes({"/health": (200, b""), "/v1/models": (200, {"data": rows})})) as url:
        assert look(Target(url, "")) == Look("", ("a", "b", "c"), None)


def test_the_key_goes_out_as_a_bearer_token() -> None:
    async def handle(_method: str, _path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        send(writer, 200 if headers.get("authorization") == "bearer s3cret" else 401, json.dumps(MODELS).encode())

    with server(handle) as url:
        assert look(Target(url, "s3cret")).problem == ""
        assert "401" in look(Target(url, "wrong")).problem


def test_nothing_there() -> None:
    with server(routes({})) as url:
        pass
    found = look(Target(url, ""))
    assert found.problem.startswith(f"Nothing answers at {url.removesuffix('/v1')}")
    assert "[Errno" not in found.problem
    assert not found.listening


async def hang(_method: str, _path: str, _headers: dict[str, str], _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def drip(_method: str, _path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def break_off(_method: str, _path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")


async def garbage(_method: str, _path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01\x02 not http\r\n\r\n")


@pytest.mark.parametrize("handle", [hang, drip])
def test_the_timeout_counts_for_the_whole_look(handle: Handler) -> None:
    with server(handle) as url:
        begun = time.monotonic()
        assert look(Target(url, ""), seconds=0.4).problem == "No answer within 0.4 s."
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize("handle", [break_off, garbage])
def test_a_broken_answer_is_a_sentence(handle: Handler) -> None:
    with server(handle) as url:
        assert look(Target(url, "")).problem.startswith("GET /health failed: ")


@pytest.mark.parametrize("url", ["http://[::1", "http://\x00/v1", "http://" + "a" * 300 + "/v1", "nonsense/v1"])
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    assert look(Target(url, "")).problem


def test_one_that_hangs_delays_no_other() -> None:
    well = routes({"/health": (200, b""), "/v1/models": (200, MODELS)})
    with server(hang) as slow, server(well) as quick:
        begun = time.monotonic()
        found = look_at_all([Target(slow, "")] * 20 + [Target(quick, "")], seconds=2)
        assert time.monotonic() - begun < 20  # one after the other they take twice that
    assert [one.problem for one in found] == ["No answer within 2 s."] * 20 + [""]


def test_nothing_to_look_at() -> None:
    assert look_at_all([]) == []


TOKEN = {"choices": [{"text": "a"}]}


@pytest.mark.parametrize(
    "answers",
    [
        {"/v1/completions": (200, TOKEN)},
        {"/v1/chat/completions": (200, TOKEN)},
        {"/v1/completions": (400, {}), "/v1/chat/completions": (200, TOKEN)},
    ],
)
def test_a_token_is_generated_one_way_or_the_other(answers: dict[str, tuple[int, object]]) -> None:
    with server(routes(answers)) as url:
        generate_token(Target(url, ""), "tiny")


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({}, "POST /v1/chat/completions answers HTTP 404"),
        ({"/v1/completions": (500, {"error": {"message": "CUDA error"}})}, "answers HTTP 500: CUDA error"),
        ({"/v1/completions": (500, {"error": "plain"})}, "HTTP 500: plain"),
        ({"/v1/completions": (500, {"error": "n\x00u\nl"})}, "HTTP 500: nul"),
        ({"/v1/completions": (500, b"[" * 100_000)}, "HTTP 500: [[["),
        ({"/v1/completions": (500, b"x" * 500)}, "HTTP 500: " + "x" * 200),
        ({"/v1/completions": (500, b"")}, "HTTP 500: no message"),
        ({"/v1/completions": (200, {"choices": []})}, "without a choice"),
        ({"/v1/completions": (200, b"nope")}, "something else than a JSON object"),
    ],
)
def test_no_token_says_why(answers: dict[str, tuple[int, object]], problem: str) -> None:
    with server(routes(answers)) as url, pytest.raises(ProbeError) as error:
        generate_token(Target(url, ""), "tiny")
    assert problem in str(error.value)


def test_a_token_has_a_deadline() -> None:
    with server(hang) as url, pytest.raises(ProbeError, match=r"No answer within 0\.3 s"):
        generate_token(Target(url, ""), "tiny", seconds=0.3)
