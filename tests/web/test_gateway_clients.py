"""Clients that people use, and both servers."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from django.conf import settings
from django.db import connection
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from responses_api.models import ResponseRecord
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running, until
from tests.web.streams import ask as ask_stream

pytestmark = pytest.mark.django_db(transaction=True)

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def test_openais_client_asks_and_reads(site: Site) -> None:
    with site.openai() as client:
        response = client.responses.create(
            model="tiny", input="hello", instructions="Be brief.", extra_headers={"X-Session-ID": "mine"}
        )
        assert response.output_text == "echo: hello"
        assert response.usage is not None
        assert response.usage.output_tokens == 3
        raw = client.responses.with_raw_response.create(model="tiny", input="hello")
        assert raw.headers["x-roundhouse-endpoint"] == "engine-0"
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").id == "tiny"
        chat = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hello"}])
        assert chat.choices[0].message.content == "echo: hello"


def test_openais_client_loops_over_tools(site: Site) -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    site.engine.script.append(Step(message={"content": None, "reasoning": "hm", "tool_calls": [call]}))
    conversation: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    with site.openai() as client:
        first = client.responses.create(model="tiny", input=conversation, tools=[TOOL])
        assert [item.type for item in first.output] == ["reasoning", "function_call"]
        conversation += first.output
        conversation.append({"type": "function_call_output", "call_id": "call_7", "output": "rain"})
        second = client.responses.create(model="tiny", input=conversation, tools=[TOOL])
    assert second.output_text == "echo: rain"
    assert site.engine.chats[1]["messages"][1]["reasoning"] == "hm"


def test_openais_client_raises_the_right_errors(site: Site) -> None:
    with site.openai() as client:
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.create(model="nope", input="hi")
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as bad:
            client.responses.create(model="tiny", input="hi", background=True)
        assert bad.value.param == "background"
        site.engine.script.append(Step(status=429, body={"error": {"message": "slow down"}}))
        with pytest.raises(openai.RateLimitError, match="slow down"):
            client.responses.create(model="tiny", input="hi")
    with site.openai(api_key="wrong") as client, pytest.raises(openai.AuthenticationError):
        client.responses.create(model="tiny", input="hi")


async def _ask_async(site: Site) -> str:
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        return (await client.responses.create(model="tiny", input="hello")).output_text


def test_openais_async_client_asks_and_reads(site: Site) -> None:
    assert asyncio.run(_ask_async(site)) == "echo: hello"


@pytest.mark.parametrize(
    "step",
    [
        Step(),
        Step(message={"content": "<think>hm</think>yes"}),
        Step(message={"content": None}),
        Step(message={"content": None, "reasoning": "hm"}, finish_reason="length"),
        Step(message={"content": "x", "refusal": "I will not."}),
        Step(message={"content": "x"}, finish_reason="content_filter", usage=None),
        Step(finish_reason="abort"),
        Step(message={"content": None, "tool_calls": [{"id": None, "function": {"name": "f", "arguments": {"a": 1}}}]}),
        Step(status=400, body={"error": {"message": "max_tokens=9 cannot be greater than max_model_len=2."}}),
    ],
)
def test_every_answer_is_what_the_openai_package_declares(site: Site, step: Step) -> None:
    site.engine.script.extend([step, step])
    Response.model_validate_json(site.ask(tools=[TOOL], text={"format": {"type": "text"}}).content)
    with site.client() as client:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
        answer = client.post("/chat/completions", json=body)
    if "tool_calls" not in (step.message or {}) and step.finish_reason != "abort":  # these pass as they are
        ChatCompletion.model_validate_json(answer.content)


@contextmanager
def daphne(port: int) -> Iterator[None]:
    """Daphne, as `manage.py runserver` uses it, over the tests' database."""
    name = connection.settings_dict["NAME"]
    database = (
        f"sqlite:///{name}"
        if connection.vendor == "sqlite"
        else os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
    )
    environ = {**os.environ, "DATABASE_URL": database, "ROUNDHOUSE_DATA_DIR": str(settings.DATA_DIR.root)}
    command = [sys.executable, "-m", "daphne", "-p", str(port), "-b", "127.0.0.1", "controlplane.asgi:application"]
    process = subprocess.Popen(command, env=environ, cwd=Path(settings.BASE_DIR), stderr=subprocess.PIPE)
    try:
        until(lambda: _answers(port), seconds=30)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 401
    except httpx.TransportError:
        return False


def test_daphne_serves_it_too_and_notices_a_caller_who_leaves(site: Site) -> None:
    port = site.server.port
    site.server.stop()
    with daphne(port):
        assert site.ask("hello").json()["output"][0]["content"][0]["text"] == "echo: hello"
        assert site.ask(background=True).json()["error"]["param"] == "background"
        site.engine.script.append(Step(hang=True))
        with pytest.raises(httpx.ReadTimeout), site.client() as client:
            client.post("/responses", json={"model": "tiny", "input": "hi"}, timeout=0.3)
        until(lambda: site.engine.requests[-1].client_left, seconds=2)


def test_daphne_streams_too(site: Site) -> None:
    port = site.server.port
    site.server.stop()
    with daphne(port):
        assert ask_stream(site, "hello").deltas == ["echo:", " hello"]
        site.engine.script.append(Step(break_off="middle"))
        assert ask_stream(site).events[-1]["type"] == "response.failed"
        site.engine.script.append(Step(stall=True))
        body = {"model": "tiny", "input": "hi", "stream": True}
        with site.client() as client, client.stream("POST", "/responses", json=body) as response:
            assert b"response.created" in next(response.iter_bytes())
        until(lambda: site.engine.requests[-1].client_left, seconds=2)
        until(lambda: ResponseRecord.objects.filter(error_code="client_left").exists(), seconds=2)
