"""A vLLM that does what it is told, on a real Uvicorn.

Left alone it answers as a small vLLM would: it echoes the last message, counts words as tokens, checks its key and
refuses what does not fit its context; asked to stream, it does. It is told otherwise in three ways, the first that
applies wins:

1. by the request: a last message `!script {"status": 503}` is a step for this one answer;
2. by the queue: `engine.script.append(Step(...))`, or `POST /script {"steps": [...]}`, one step an answer;
3. by `engine.always`, or `POST /script {"always": {...}}`.

What was asked of it stands in `engine.requests`, or `GET /requests`.
Alone: `python -m tests.fakes.scripted_vllm --port N`.
"""

import argparse
import asyncio
import time
from collections import deque
from typing import Any, Literal, NamedTuple

import msgspec

from tests.fakes.streamed_chat import frame_of, frames_of
from tests.fakes.uvicorn_thread import UvicornThread

PROMPT_SCRIPT = "!script "
METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="{model}"}} {running}
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{model_name="{model}"}} 0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{model_name="{model}"}} 0.25
# TYPE vllm:request_success_total counter
vllm:request_success_total{{model_name="{model}",finished_reason="stop"}} {answered}
"""


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What becomes of one request. Unset fields leave the plausible answer as it is."""

    status: int = 200
    body: Any = None  # text goes out as it is, anything else as JSON; None: the plausible answer
    message: dict[str, Any] | None = None  # laid over the plausible answer's message
    finish_reason: str | msgspec.UnsetType | None = msgspec.UNSET
    usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    headers: dict[str, str] = {}
    delay: float = 0  # seconds before the answer
    hang: bool = False  # no answer until the client leaves
    # The connection ends before the answer, after the headers of a stream, or inside the answer.
    break_off: Literal["", "before", "headers", "middle"] = ""
    events: list[Any] | None = None  # of a stream, in place of the plausible ones: text goes out as it is
    gap: float = 0  # seconds between two events of a stream
    stall: bool = False  # a stream stops in the middle, until the client leaves


class Seen(msgspec.Struct):
    """One request, as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    client_left: bool = False
    answered: bool = False
    sent: int = 0  # events of a stream


class _Connection(NamedTuple):
    scope: Any
    receive: Any
    send: Any


class Control(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /script`."""

    steps: list[Step] = []
    always: Step | None = None
    healthy: bool | None = None


class ScriptedVllm(UvicornThread):
    """One scripted engine. Use it as a context manager; `kill()` and `start()` play a crash and a return."""

    def __init__(self, *, model: str = "tiny", api_key: str = "", max_model_len: int = 2048, port: int = 0) -> None:
        super().__init__(self._asgi, port=port)
        self.model = model
        self.api_key = api_key
        self.max_model_len = max_model_len
        self.healthy = True
        self.script: deque[Step] = deque()
        self.always = Step()
        self.requests: list[Seen] = []
        self.running_now = 0

    @property
    def base_url(self) -> str:
        """What an endpoint registers."""
        return self.origin + "/v1"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """The bodies of the chat completions that were asked for, in order."""
        return [seen.body for seen in self.requests if seen.path == "/v1/chat/completions"]

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        raw = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] in {"/script", "/requests"}:
            await self._control(scope, raw, send)
            return
        try:
            body = msgspec.json.decode(raw) if raw else None
        except msgspec.DecodeError:
            body = None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        seen = Seen(scope["method"], scope["path"], headers, body, time.time())
        self.requests.append(seen)
        self.running_now += 1
        try:
            await self._answer(seen, scope, receive, send)
        finally:
            self.running_now -= 1

    async def _control(self, scope: Any, raw: bytes, send: Any) -> None:
        if scope["path"] == "/requests":
            found = [*self.requests]
            if scope["method"] == "DELETE":
                self.requests.clear()
            await _send_json(send, 200, {"requests": found})
            return
        control = msgspec.json.decode(raw, type=Control)
        self.script.extend(control.steps)
        self.always = control.always or self.always
        self.healthy = self.healthy if control.healthy is None else control.healthy
        await _send_json(send, 200, {"queued": len(self.script)})

    async def _answer(self, seen: Seen, scope: Any, receive: Any, send: Any) -> None:
        if seen.path == "/health":
            await _send(send, 200 if self.healthy else 503, b"")
            return
        if seen.path == "/metrics":
            answered = sum(1 for one in self.requests if one.answered)
            text = METRICS.format(model=self.model, running=self.running_now, answered=answered)
            await _send(send, 200, text.encode(), {"content-type": "text/plain; version=0.0.4"})
            return
        if self.api_key and seen.headers.get("authorization") != f"Bearer {self.api_key}":
            await _send_json(send, 401, {"error": "Unauthorized"})
            return
        step = self._step(seen)
        if not await self._wait(step, seen, receive):
            return
        if step.break_off == "before":
            await _abort(scope, receive)
            return
        status, body = self._plausible(seen, step) if step.body is None else (step.status, step.body)
        if status == 200 and step.body is None and isinstance(seen.body, dict) and seen.body.get("stream"):
            options = seen.body.get("stream_options") or {}
            events = frames_of(body, with_usage=bool(options.get("include_usage")))
            frames = events if step.events is None else [frame_of(event) for event in step.events]
            await self._stream(frames, step, seen, _Connection(scope, receive, send))
            return
        payload = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        if step.break_off == "middle":
            start = {"type": "http.response.start", "status": status}
            await send({**start, "headers": [(b"content-length", b"%d" % len(payload))]})
            await send({"type": "http.response.body", "body": payload[: len(payload) // 2], "more_body": True})
            await _abort(scope, receive)
            return
        await _send(send, status, payload, {"content-type": "application/json", **step.headers})
        seen.answered = True

    async def _stream(self, frames: list[bytes], step: Step, seen: Seen, connection: "_Connection") -> None:
        scope, receive, send = connection
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        middle = {"headers": 0, "middle": len(frames) // 2}.get(step.break_off)
        gone = asyncio.ensure_future(receive())
        try:
            for number, frame in enumerate(frames):
                if number == middle:
                    await asyncio.sleep(0.05)  # what was sent gets through
                    scope["state"]["transport"].abort()
                stalls = step.stall and number == len(frames) // 2
                if number or middle == 0:
                    await asyncio.wait({gone}, timeout=None if stalls or number == middle else step.gap)
                if gone.done():
                    seen.client_left = True
                    return
                await send({"type": "http.response.body", "body": frame, "more_body": True})
                seen.sent += 1
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})
        seen.answered = True

    def _step(self, seen: Seen) -> Step:
        if seen.method != "POST":
            return Step()
        prompt = _last_text(seen.body)
        if prompt.startswith(PROMPT_SCRIPT):
            return msgspec.json.decode(prompt.removeprefix(PROMPT_SCRIPT), type=Step)
        return self.script.popleft() if self.script else self.always

    async def _wait(self, step: Step, seen: Seen, receive: Any) -> bool:
        """Let the time pass that the step asks for; return False if the client left meanwhile."""
        if not step.hang and not step.delay:
            return True
        gone = asyncio.ensure_future(receive())
        await asyncio.wait({gone}, timeout=None if step.hang else step.delay)
        if gone.done():
            seen.client_left = True
            return False
        gone.cancel()
        return True

    def _plausible(self, seen: Seen, step: Step) -> tuple[int, Any]:
        routes = {
            ("GET", "/v1/models"): self._models,
            ("GET", "/version"): lambda *_: (200, {"version": "0.32.0"}),
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._completion,
            ("POST", "/tokenize"): self._tokenize,
        }
        route = routes.get((seen.method, seen.path))
        if route is None:
            return 404, {"detail": "Not Found"}
        if seen.method == "POST" and not isinstance(seen.body, dict):
            return _refusal("The request body is not a JSON object.")
        if seen.method == "POST" and seen.body.get("model") not in {None, self.model}:
            return _refusal(f"The model `{seen.body['model']}` does not exist.", status=404, kind="NotFoundError")
        return route(seen.body, step)

    def _models(self, _body: Any, _step: Step) -> tuple[int, Any]:
        card = {"id": self.model, "object": "model", "created": 1, "owned_by": "vllm", "root": self.model}
        return 200, {"object": "list", "data": [{**card, "parent": None, "max_model_len": self.max_model_len}]}

    def _tokenize(self, body: Any, _step: Step) -> tuple[int, Any]:
        words = _words(body)
        return 200, {"count": len(words), "max_model_len": self.max_model_len, "tokens": [*range(len(words))]}

    def _overflow(self, prompt: int, asked: int | None) -> tuple[int, Any] | None:
        """Refuse what does not fit, in the words of vLLM 0.32."""
        limit = self.max_model_len
        if asked is not None and asked > limit:
            return _refusal(
                f"max_tokens={asked} cannot be greater than max_model_len={limit}. Please request fewer output tokens. "
                f"(parameter=max_tokens, value={asked})",
                param="max_tokens",
            )
        if prompt > limit - (asked or 1):
            return _refusal(
                f"This model's maximum context length is {limit} tokens. However, you requested {asked or 1} output "
                f"tokens and your prompt contains at least {prompt} input tokens, for a total of at least "
                f"{prompt + (asked or 1)} tokens. Please reduce the length of the input prompt or the number of "
                f"requested output tokens. (parameter=input_tokens, value={prompt})",
                param="input_tokens",
            )
        return None

    def _chat(self, body: Any, step: Step) -> tuple[int, Any]:
        prompt = len(_words(body))
        asked = body.get("max_completion_tokens") or body.get("max_tokens")
        if refused := self._overflow(prompt, asked):
            return refused
        message: dict[str, Any] = {"role": "assistant", "content": "echo: " + _last_text(body), "refusal": None}
        message |= {"annotations": None, "audio": None, "function_call": None, "reasoning": None}
        finish: str | None = "stop"
        if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
            choice = body["tool_choice"]
            name = body["tools"][0]["function"]["name"] if choice == "required" else choice["function"]["name"]
            call = {"id": "chatcmpl-tool-1", "type": "function", "function": {"name": name, "arguments": "{}"}}
            message |= {"content": None, "tool_calls": [call]}
            finish = "stop" if choice != "required" else "tool_calls"
        message |= step.message or {}
        generated = len(str(message["content"] or "").split()) + 1  # vLLM counts the end token
        if asked and generated > asked:
            finish, generated = "length", asked
            message["content"] = " ".join(str(message["content"] or "").split()[:asked])
        usage = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}
        choice = {"index": 0, "message": message, "logprobs": None, "stop_reason": None, "token_ids": None}
        return step.status, {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [
                {**choice, "finish_reason": finish if step.finish_reason is msgspec.UNSET else step.finish_reason}
            ],
            "usage": {**usage, "prompt_tokens_details": None} if step.usage is msgspec.UNSET else step.usage,
            "prompt_logprobs": None,
        }

    def _completion(self, body: Any, step: Step) -> tuple[int, Any]:
        prompt = len(_words(body))
        asked = body.get("max_tokens") or 16
        if refused := self._overflow(prompt, asked):
            return refused
        text = " ".join(f"word{number}" for number in range(min(asked, 16)))
        return step.status, {
            "id": f"cmpl-{len(self.requests)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": "length", "stop_reason": None}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": asked, "total_tokens": prompt + asked},
        }


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _last_text(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    messages = body.get("messages") or [{"content": body.get("prompt")}]
    return _text(messages[-1].get("content")) if isinstance(messages[-1], dict) else ""


def _words(body: Any) -> list[str]:
    messages = body.get("messages") or [{"content": body.get("prompt")}]
    return [word for message in messages for word in _text(message.get("content")).split()]


def _refusal(message: str, *, status: int = 400, kind: str = "BadRequestError", param: str = "") -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": kind, "param": param or None, "code": status}}


async def _abort(scope: Any, receive: Any) -> None:
    scope["state"]["transport"].abort()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(send: Any, status: int, body: Any) -> None:
    await _send(send, status, msgspec.json.encode(body), {"content-type": "application/json"})


async def _send(send: Any, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    pairs.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve one scripted engine until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", "--served-model-name", default="tiny")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--max-model-len", type=int, default=2048)
    known, _ = parser.parse_known_args()  # vLLM's other arguments are accepted and mean nothing here
    engine = ScriptedVllm(model=known.model, api_key=known.api_key, max_model_len=known.max_model_len, port=known.port)
    with engine:
        print(engine.base_url, flush=True)  # noqa: T201  (whoever started it waits for this line)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
