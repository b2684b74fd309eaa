"""An engine double that is fast enough not to matter: every chat completion gets the same answer, whole or streamed.

Run as `uvicorn bench.engine:app`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "word " * 60, "tool_calls": []},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 150, "completion_tokens": 60, "total_tokens": 210},
    }
).encode()
TOKENS = 60
SLOW_SECONDS = 4.0  # how long the model bench-slow thinks
TOKEN_SECONDS = 0.005  # each token travels alone, as it does from a busy engine


def _frame(**fields: Any) -> bytes:
    chunk = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "bench"}
    return b"data: " + json.dumps({**chunk, **fields}).encode() + b"\n\n"


TOKEN = _frame(choices=[{"index": 0, "delta": {"content": "word "}, "logprobs": None, "finish_reason": None}])
END = _frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = _frame(choices=[], usage={"prompt_tokens": 150, "completion_tokens": TOKENS, "total_tokens": 150 + TOKENS})
MODELS = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model", "max_model_len": 32768}]}).encode()

Message = dict[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer a chat completion, /health and /v1/models."""
    asked = b""
    more = True
    while more:
        message = await receive()
        asked += message.get("body", b"")
        more = message.get("more_body", False)
    if b'"stream":true' in asked:
        await _stream(send)
        return
    if b'"model":"bench-slow"' in asked:
        await asyncio.sleep(SLOW_SECONDS)
    body = ANSWER if scope["method"] == "POST" else MODELS
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Callable[[Message], Awaitable[None]]) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(TOKENS):
        await send({"type": "http.response.body", "body": TOKEN, "more_body": True})
        await asyncio.sleep(TOKEN_SECONDS)
    await send({"type": "http.response.body", "body": END + USAGE + b"data: [DONE]\n\n"})
