"""OpenAI's own client for Python."""

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ParsedResponse, ResponseCompletedEvent, ResponseTextDeltaEvent

from tests.clients.scripts import OSLO, City, calling, ledger, roles, saying
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site

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


def test_it_asks_and_reads(site: Site) -> None:
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


def test_it_loops_over_tools(site: Site) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    conversation: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    with site.openai() as client:
        first = client.responses.create(model="tiny", input=conversation, tools=[TOOL])
        assert [item.type for item in first.output] == ["reasoning", "function_call"]
        conversation += first.output
        conversation.append({"type": "function_call_output", "call_id": "call_weather", "output": "rain"})
        second = client.responses.create(model="tiny", input=conversation, tools=[TOOL])
        conversation += second.output
        conversation.append({"role": "user", "content": "Thank you"})
        third = client.responses.create(model="tiny", input=conversation, tools=[TOOL])
    assert (second.output_text, third.output_text) == ("echo: rain", "echo: Thank you")
    assert roles(site.engine.chats[2]) == ["user", "assistant", "tool", "assistant", "user"]
    assert site.engine.chats[2]["messages"][1]["reasoning"] == "I need weather."


def test_its_stream_helper_gathers_text_and_calls(site: Site) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    with site.openai() as client:
        with client.responses.stream(model="tiny", input="Weather in Oslo?", tools=[TOOL]) as stream:
            called = stream.get_final_response()
        with client.responses.stream(model="tiny", input="hello there") as stream:
            deltas = [event.delta for event in stream if isinstance(event, ResponseTextDeltaEvent)]
            said = stream.get_final_response()
    assert [item.type for item in called.output] == ["reasoning", "function_call"]
    call = called.output[1]
    assert call.type == "function_call"
    assert (call.name, call.parsed_arguments) == ("weather", {"city": "Oslo"})
    assert ("".join(deltas), said.output_text) == ("echo: hello there", "echo: hello there")
    assert ledger() == [("responses", "completed")] * 2


def test_it_parses_structured_answers(site: Site) -> None:
    site.engine.script.extend([saying(OSLO.model_dump_json())] * 2)
    with site.openai() as client:
        whole: ParsedResponse[City] = client.responses.parse(model="tiny", input="Oslo?", text_format=City)
        with client.responses.stream(model="tiny", input="Oslo?", text_format=City) as stream:
            streamed = stream.get_final_response()
    assert whole.output_parsed == streamed.output_parsed == OSLO
    for chat in site.engine.chats:
        wanted = chat["response_format"]
        assert (wanted["type"], wanted["json_schema"]["name"]) == ("json_schema", "City")
        assert sorted(wanted["json_schema"]["schema"]["properties"]) == ["inhabitants", "name"]


def test_it_raises_the_right_errors(site: Site) -> None:
    with site.openai() as client:
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.create(model="nope", input="hi")
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as bad:
            client.responses.create(model="tiny", input="hi", prompt={"id": "pmpt_1"})
        assert bad.value.param == "prompt"
        site.engine.script.append(Step(status=429, body={"error": {"message": "slow down"}}))
        with pytest.raises(openai.RateLimitError, match="slow down"):
            client.responses.create(model="tiny", input="hi")
    with site.openai(api_key="wrong") as client, pytest.raises(openai.AuthenticationError):
        client.responses.create(model="tiny", input="hi")


async def converse(site: Site) -> tuple[str, str]:
    """Return what the asynchronous client is told, at once and streamed."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        whole = await client.responses.create(model="tiny", input="hello")
        async for event in await client.responses.create(model="tiny", input="hello", stream=True):
            last = event
    assert isinstance(last, ResponseCompletedEvent)
    return whole.output_text, last.response.output_text


def test_its_async_client_asks_reads_and_streams(site: Site) -> None:
    assert asyncio.run(converse(site)) == ("echo: hello", "echo: hello")
