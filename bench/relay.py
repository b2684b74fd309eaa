"""The bare relay that everything is compared with: Uvicorn and aiohttp, a parsed body on, a parsed answer back, whole
or event by event.

Run as `BENCH_ENGINE=http://127.0.0.1:… uvicorn bench.relay:app`.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
sessions: list[aiohttp.ClientSession] = []


def session() -> aiohttp.ClientSession:
    """Return the one client session, made in the running loop."""
    if not sessions:
        connector = aiohttp.TCPConnector(limit=0)
        sessions.append(aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()))
    return sessions[0]


async def app(_scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
    """Pass the request on as a chat completion, and the answer back."""
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    asked = decode(b"".join(chunks))
    chat = {"model": asked["model"], "messages": [{"role": "user", "content": asked["input"]}]}
    body = encode({**chat, "stream": True} if asked.get("stream") else chat)
    url = os.environ["BENCH_ENGINE"] + "/v1/chat/completions"
    async with session().post(url, data=body, headers={"content-type": "application/json"}) as response:
        if asked.get("stream"):
            await _pass_on(response, send)
            return
        answer = encode(decode(await response.read()))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _pass_on(response: aiohttp.ClientResponse, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    rest = b""
    async for data in response.content.iter_any():
        *events, rest = (rest + data).split(b"\n\n")
        body = b"".join(b"data: %b\n\n" % _again(event.removeprefix(b"data: ")) for event in events)
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _again(data: bytes) -> bytes:
    return data if data == b"[DONE]" else encode(decode(data))
