"""The OpenAI Agents SDK."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    ModelBehaviorError,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from endpoints.models import ConfigProfile
from tests.clients.scripts import OSLO, City, calling, ledger, roles, saying
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("untraced")]

TURN_ONE = ["system", "user"]
AFTER_THE_TOOL = [*TURN_ONE, "assistant", "tool"]
TURN_TWO = [*AFTER_THE_TOOL, "assistant", "user"]


@pytest.fixture
def untraced() -> Iterator[None]:
    """Traces would go to OpenAI."""
    set_tracing_disabled(True)
    yield
    set_tracing_disabled(False)


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def agent(model: OpenAIResponsesModel) -> Agent[None]:
    """Return an agent that may ask for the weather."""
    return Agent(
        name="reporter",
        instructions="Be brief.",
        model=model,
        tools=[weather],
    )


async def run(site: Site) -> list[str]:
    """Return what the agent says in two turns, the second with the first as its history."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        reporter = agent(OpenAIResponsesModel("tiny", client))
        first = await Runner.run(reporter, "Weather in Oslo?")
        second = await Runner.run(reporter, [*first.to_input_list(), {"role": "user", "content": "Thank you"}])
    return [first.final_output, second.final_output]


async def run_stored(site: Site) -> list[str]:
    """Return what the agent says in two turns, of which it sends new items alone."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        reporter = agent(OpenAIResponsesModel("tiny", client))
        first = await Runner.run(reporter, "Weather in Oslo?", auto_previous_response_id=True)
        second = await Runner.run(reporter, "Thank you", previous_response_id=first.last_response_id)
    return [first.final_output, second.final_output]


async def run_in_conversation(site: Site) -> list[str]:
    """Return what the agent says in two turns of a conversation that the server keeps."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        reporter = agent(OpenAIResponsesModel("tiny", client))
        conversation = await client.conversations.create()
        first = await Runner.run(reporter, "Weather in Oslo?", conversation_id=conversation.id)
        second = await Runner.run(reporter, "Thank you", conversation_id=conversation.id)
    return [first.final_output, second.final_output]


async def run_in_session(site: Site) -> list[str]:
    """Return what the agent says in two turns, whose items it reads from a conversation and adds to it by itself."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        reporter = agent(OpenAIResponsesModel("tiny", client))
        session = OpenAIConversationsSession(openai_client=client)
        first = await Runner.run(reporter, "Weather in Oslo?", session=session)
        second = await Runner.run(reporter, "Thank you", session=session)
    return [first.final_output, second.final_output]


async def run_over_websocket(site: Site) -> list[str]:
    """Return what the agent says in two turns over one WebSocket."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        model = OpenAIResponsesWSModel("tiny", client)
        reporter = agent(model)
        first = await Runner.run(reporter, "Weather in Oslo?")
        second = await Runner.run(reporter, "Thank you", previous_response_id=first.last_response_id)
        await model.close()
    return [first.final_output, second.final_output]


async def run_streamed(site: Site) -> tuple[list[str], str]:
    """Return the kinds of the items of a streamed run, and the pieces of text put together."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        streaming = Runner.run_streamed(agent(OpenAIResponsesModel("tiny", client)), "Weather in Oslo?")
        kinds: list[str] = []
        text = ""
        async for event in streaming.stream_events():
            if event.type == "run_item_stream_event":
                kinds.append(event.item.type)
            elif event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                text += event.data.delta
    assert streaming.final_output == text
    return kinds, text


@pytest.mark.parametrize("way", [run, run_stored, run_in_conversation, run_in_session, run_over_websocket])
def test_an_agent_runs_its_tool_and_goes_on(site: Site, way: Callable[[Site], Coroutine[Any, Any, list[str]]]) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    assert asyncio.run(way(site)) == ["echo: rain in Oslo", "echo: Thank you"]
    assert [roles(chat) for chat in site.engine.chats] == [TURN_ONE, AFTER_THE_TOOL, TURN_TWO]
    assert site.engine.chats[2]["messages"][2]["reasoning"] == "I need weather."
    assert ledger() == [("responses", "completed")] * 3


def test_an_agent_streams(site: Site) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    kinds, text = asyncio.run(run_streamed(site))
    assert kinds == ["reasoning_item", "tool_call_item", "tool_call_output_item", "message_output_item"]
    assert text == "echo: rain in Oslo"
    assert [roles(chat) for chat in site.engine.chats] == [TURN_ONE, AFTER_THE_TOOL]


async def ask_for_a_word(site: Site) -> str:
    """Return an agent's answer in plain text."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        return (await Runner.run(agent(OpenAIResponsesModel("tiny", client)), "hello")).final_output_as(str)


def test_an_agent_takes_an_answer_that_was_cut_off_where_the_profile_says_so(site: Site) -> None:
    site.engine.script.extend([Step(finish_reason="length")] * 2)
    with pytest.raises(ModelBehaviorError):
        asyncio.run(ask_for_a_word(site))
    ConfigProfile.objects.update(length_is_completed=True)
    site.refresh()
    assert asyncio.run(ask_for_a_word(site)) == "echo: hello"


async def ask_for_a_city(site: Site) -> City:
    """Return an agent's answer in a structure."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        geographer = Agent(name="geographer", model=OpenAIResponsesModel("tiny", client), output_type=City)
        return (await Runner.run(geographer, "Oslo?")).final_output_as(City)


def test_an_agent_answers_in_a_structure(site: Site) -> None:
    site.engine.script.append(saying(OSLO.model_dump_json()))
    assert asyncio.run(ask_for_a_city(site)) == OSLO
    assert site.engine.chats[0]["response_format"]["type"] == "json_schema"
