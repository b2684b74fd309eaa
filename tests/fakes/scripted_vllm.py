"""A vLLM that does what it is told, on a real Uvicorn.

Left alone it answers as a small vLLM would, on every API that vLLM has: it echoes the last message, counts words as
tokens, checks its key and refuses what does not fit its context; asked to stream, it does. It is told otherwise in
three ways, the first that applies wins:

1. by the request: a last message `!script {"status": 503}` is a step for this one answer;
2. by the queue: `engine.script.append(Step(...))`, or `POST /script {"steps": [...]}`, one step an answer;
3. by `engine.always`, or `POST /script {"always": {...}}`.

A step that says nothing about the message leaves it to `engine.agent`, or `POST /script {"agent": {...}}`: a model that
calls one tool, then reports the result.

What was asked of it stands in `engine.requests`, or `GET /requests`.
Alone: `python -m tests.fakes.scripted_vllm --port N`.
"""

import argparse
import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from tests.fakes import engine_chat, engine_completions, engine_messages, engine_responses, engine_tokens
from tests.fakes.engine_generation import Asked, Reply, frame_of, generate, named_frame, now, raw_of, usage_of
from tests.fakes.engine_refusals import Refused, malformed
from tests.fakes.engine_script import Agent, Control, Seen, Step
from tests.fakes.uvicorn_thread import UvicornThread

__all__ = ["Agent", "ScriptedVllm", "Step"]

PROMPT_SCRIPT = "!script "
# vllm/entrypoints/serve/middleware/authenticate.py
GUARDED = ("/v1", "/v2", "/inference", "/cohere")
METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="{model}"}} {running}
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{model_name="{model}"}} 0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{model_name="{model}"}} 0.25
# TYPE vllm:request_success_total counter
vllm:request_success_total{{model_name="{model}",finished_reason="stop"}} {answered}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{model_name="{model}"}} {generated}
"""


class _Connection(NamedTuple):
    scope: Any
    receive: Any
    send: Any


class Api(NamedTuple):
    """An API that generates."""

    asked: Callable[[dict[str, Any]], Asked]
    whole: Callable[[Reply], dict[str, Any]]
    frames: Callable[[Reply], list[bytes]]
    frame: Callable[[Any], bytes] = named_frame  # of a scripted event


APIS = {
    "/v1/chat/completions": Api(engine_chat.asked_of, engine_chat.whole, engine_chat.frames, frame_of),
    "/v1/completions": Api(engine_completions.asked_of, engine_completions.whole, engine_completions.frames, frame_of),
    "/v1/messages": Api(engine_messages.asked_of, engine_messages.whole, engine_messages.frames),
    "/v1/responses": Api(engine_responses.asked_of, engine_responses.whole, engine_responses.frames),
}


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
        self.agent: Agent | None = None
        self.requests: list[Seen] = []
        self.running_now = 0
        self._halted: set[asyncio.Future[None]] = set()  # what ends those that hang or stall
        self._busy = 0  # requests that are slow and flow
        self._slowly = 0  # what those have generated, by the looks at the metrics

    @property
    def base_url(self) -> str:
        """What an endpoint registers."""
        return self.origin + "/v1"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """The bodies of the chat completions that were asked for, in order."""
        return [seen.body for seen in self.requests if seen.path == "/v1/chat/completions"]

    def go_on(self) -> None:
        """Let those answers come that hang or stall now."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        for halted in self._halted:
            halted.set_result(None)
        self._halted.clear()

    async def _halt(self, gone: asyncio.Future[Any]) -> None:
        """Wait until the client leaves, or `go_on`."""
        halted = asyncio.get_running_loop().create_future()
        self._halted.add(halted)
        try:
            await asyncio.wait({gone, halted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._halted.discard(halted)

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
        except (msgspec.DecodeError, UnicodeDecodeError):
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
        self.agent = self.agent if control.agent is msgspec.UNSET else control.agent
        self.healthy = self.healthy if control.healthy is None else control.healthy
        await _send_json(send, 200, {"queued": len(self.script)})

    async def _answer(self, seen: Seen, scope: Any, receive: Any, send: Any) -> None:
        if seen.path == "/health":
            await _send(send, 200 if self.healthy else 503, b"")
            return
        if seen.path == "/metrics":
            answered = sum(1 for one in self.requests if one.answered)
            text = METRICS.format(
                model=self.model, running=self.running_now, answered=answered, generated=self._generated()
            )
            await _send(send, 200, text.encode(), {"content-type": "text/plain; version=0.0.4"})
            return
        guarded = self.api_key and seen.path.startswith(GUARDED)
        if guarded and seen.headers.get("authorization") != f"Bearer {self.api_key}":
            await _send_json(send, 401, {"error": "Unauthorized"})
            return
        step = self._step(seen)
        if not await self._wait(step, seen, receive):
            return
        if step.break_off == "before":
            await _abort(scope, receive)
            return
        status, body = self._plausible(seen, step) if step.body is None else (step.status, step.body)
        if isinstance(body, Reply):
            api = APIS[seen.path]
            if status == 200 and body.body.get("stream"):
                events = None if step.events is None else [api.frame(event) for event in step.events]
                connection = _Connection(scope, receive, send)
                await self._stream(api.frames(body) if events is None else events, step, seen, connection)
                return
            body = api.whole(body)
        payload = raw_of(body)
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
        named = {"content-type": "text/event-stream; charset=utf-8", **step.headers}
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        middle = {"headers": 0, "middle": len(frames) // 2}.get(step.break_off)
        gone = asyncio.ensure_future(receive())
        try:
            for number, frame in enumerate(frames):
                if number == middle:
                    await asyncio.sleep(0.05)  # what was sent gets through
                    scope["state"]["transport"].abort()
                stalls = step.stall and 0 < number == len(frames) // 2
                if stalls:
                    await self._halt(gone)
                elif number or middle == 0:
                    await asyncio.wait({gone}, timeout=None if number == middle else step.gap)
                if gone.done():
                    seen.client_left = True
                    return
                await send({"type": "http.response.body", "body": frame, "more_body": True})
                seen.sent += 1
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})
        seen.answered = True

    def _generated(self) -> int:
        """Return how many tokens there were so far: more at every look, while something flows."""
        self._slowly += bool(self._busy)
        return self._slowly + sum(seen.sent + 10 * seen.answered for seen in self.requests)

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
        self._busy += not step.hang
        await (self._halt(gone) if step.hang else asyncio.wait({gone}, timeout=step.delay))
        self._busy -= not step.hang
        if gone.done():
            seen.client_left = True
            return False
        gone.cancel()
        return True

    def _plausible(self, seen: Seen, step: Step) -> tuple[int, Any]:
        """Return the answer, or of an API that generates what it is made of."""
        routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "/v1/models"): lambda _: self._models(),
            ("GET", "/version"): lambda _: {"version": "0.32.0"},
            ("POST", "/tokenize"): lambda body: engine_tokens.tokenize(body, self.max_model_len),
            ("POST", "/detokenize"): engine_tokens.detokenize,
            ("POST", "/v1/embeddings"): self._embed,
            ("POST", "/v1/messages/count_tokens"): lambda body: engine_messages.count(body, self.max_model_len),
            **{("POST", path): partial(self._generate, api, step) for path, api in APIS.items()},
        }
        route = routes.get((seen.method, seen.path))
        try:
            if seen.path.startswith("/v1/responses/"):
                raise engine_responses.not_found(seen.path.split("/")[3])
            if route is None:
                known = any(path == seen.path for _, path in routes)
                return (405, {"detail": "Method Not Allowed"}) if known else (404, {"detail": "Not Found"})
            if seen.method == "POST":
                self._check(seen)
            return step.status, route(seen.body)
        except Refused as error:
            refusal = error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # Where vLLM's models check every field, this engine reads on until something is not what it takes it for.
            refusal = malformed("value_error", "body", f"Value error, {error!r}", seen.body)
        anthropic = seen.path.startswith("/v1/messages")
        return refusal.status, engine_messages.refused(refusal) if anthropic else refusal.body()

    def _check(self, seen: Seen) -> None:
        if seen.body is None:
            raise malformed("json_invalid", "body.0", "JSON decode error", {}, ctx={"error": "Expecting value"})
        if not isinstance(seen.body, dict):
            message = "Input should be a valid dictionary or object to extract fields from"
            raise malformed("model_attributes_type", "body", message, seen.body)
        model = seen.body.get("model")
        if model not in (None, self.model):
            message = f"The model `{model}` does not exist. Valid aliases: {self.model}."
            raise Refused(message, param="model", status=404, kind="NotFoundError")

    @property
    def _number(self) -> str:
        return f"{len(self.requests):016x}"

    def _generate(self, api: Api, step: Step, body: dict[str, Any]) -> Reply:
        asked = api.asked(body)
        number, limit = self._number, self.max_model_len
        choices = generate(asked, step, self.agent, number=number, max_model_len=limit)
        usage = usage_of(choices, step, asked.prompts, details=api is not APIS["/v1/completions"])
        return Reply(number, now(), self.model, body, limit, choices, usage)

    def _embed(self, body: dict[str, Any]) -> dict[str, Any]:
        return engine_tokens.embed(body, model=self.model, number=self._number, max_model_len=self.max_model_len)

    def _models(self) -> dict[str, Any]:
        card = {"id": self.model, "object": "model", "created": 1, "owned_by": "vllm", "root": self.model}
        permission = {"id": "modelperm-1", "object": "model_permission", "created": 1, "organization": "*"}
        permission |= {"group": None, "is_blocking": False}
        may = ("sampling", "logprobs", "view")
        may_not = ("create_engine", "search_indices", "fine_tuning")
        permission |= {f"allow_{name}": name in may for name in (*may, *may_not)}
        card |= {"parent": None, "max_model_len": self.max_model_len, "permission": [permission]}
        return {"object": "list", "data": [card]}


def _last_text(body: Any) -> str:
    """Return what a request says last, in any API."""
    if not isinstance(body, dict):
        return ""
    said = body.get("messages") or body.get("input") or body.get("prompt")
    if isinstance(said, str):
        return said
    last = said[-1] if isinstance(said, list) and said else None
    return engine_chat.text_of(last.get("content")) if isinstance(last, dict) else ""


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
