"""Conversations of real clients stay on one engine each, without a word of theirs about sessions, and spread evenly.

Every client holds several conversations in turns, each of which grows by twelve requests: six questions, with a tool.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent as Reporter
from agents import OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import SecretStr

from responses_api.models import ResponseRecord, Session
from tests.clients.programs import node
from tests.clients.test_codex import Codex
from tests.clients.test_langchain import say
from tests.fakes.scripted_vllm import Agent
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)

CONVERSATIONS, QUESTIONS = 6, 6
REQUESTS = 2 * QUESTIONS  # in each conversation


@pytest.fixture
def site() -> Iterator[Site]:
    with running(engines=3, max_model_len=200_000) as started:
        for engine in started.engines:
            engine.agent = Agent("weather", {"city": "Oslo"})
        yield started


def asked(conversation: int, number: int) -> str:
    return f"Conversation {conversation}, question {number}?"


def check(conversations: int = CONVERSATIONS) -> None:
    """Check that there is a session for each conversation, on one engine all the time, and that they are spread."""
    homes: dict[int | None, Counter[str]] = {}
    for session, endpoint in ResponseRecord.objects.values_list("session_id", "endpoint_name"):
        homes.setdefault(session, Counter())[endpoint] += 1
    assert [[*home.values()] for home in homes.values()] == [[REQUESTS]] * conversations
    assert Session.objects.count() == conversations
    spread = Counter(endpoint for home in homes.values() for endpoint in home)
    assert [*spread.values()] == [conversations // 3] * 3


@function_tool(name_override="weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


async def talk(site: Site, *, streamed: bool) -> None:
    """Hold the conversations of the Agents SDK."""
    async with AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        reporter = Reporter(
            name="reporter", instructions="Be brief.", model=OpenAIResponsesModel("tiny", client), tools=[weather]
        )
        histories: list[list[Any]] = [[] for _ in range(CONVERSATIONS)]
        for number in range(QUESTIONS):
            for conversation, history in enumerate(histories):
                given = [*history, {"role": "user", "content": asked(conversation, number)}]
                if streamed:
                    streaming = Runner.run_streamed(reporter, given)
                    async for _ in streaming.stream_events():
                        pass
                    history[:] = streaming.to_input_list()
                else:
                    history[:] = (await Runner.run(reporter, given)).to_input_list()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_agents_sdk(site: Site, streamed: bool) -> None:
    set_tracing_disabled(True)  # traces would go to OpenAI
    asyncio.run(talk(site, streamed=streamed))
    check()


@tool("weather")
def its_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_langchain(site: Site, streamed: bool, api: str) -> None:
    key, native = SecretStr(site.key), api == "responses"
    plain = ChatOpenAI(model="tiny", base_url=site.url, api_key=key, use_responses_api=native, max_retries=0)
    model = plain.bind_tools([its_weather])
    histories: list[list[BaseMessage]] = [[SystemMessage("Be brief.")] for _ in range(CONVERSATIONS)]
    for number in range(QUESTIONS):
        for conversation, history in enumerate(histories):
            history.append(HumanMessage(asked(conversation, number)))
            call = say(model, history, streamed=streamed)
            history += [call, its_weather.invoke(call.tool_calls[0])]
            history.append(say(model, history, streamed=streamed))
    check()


@pytest.mark.usefixtures("from_npm")
@pytest.mark.parametrize("how", ["generate", "stream"])
@pytest.mark.parametrize(
    ("provider", "store"), [("openai", "forget"), ("openai", "store"), ("open-responses", "store")]
)
def test_the_ai_sdk(site: Site, tmp_path: Path, provider: str, store: str, how: str) -> None:
    ran = node(
        "ai_sdk_conversations.mjs",
        provider,
        how,
        store,
        str(CONVERSATIONS),
        str(QUESTIONS),
        home=tmp_path,
        ROUNDHOUSE_URL=site.url,
        ROUNDHOUSE_KEY=site.key,
    )
    assert ran.status == 0, ran.stderr
    check()


@pytest.mark.usefixtures("from_npm")
def test_codex(site: Site, tmp_path: Path) -> None:
    for engine in site.engines:
        engine.agent = Agent("exec_command", {"cmd": "echo one two"})
    threads = [Codex(site, tmp_path / str(number)) for number in range(3)]
    for thread in threads:
        thread.home.mkdir()
        thread.configure()
    for number in range(QUESTIONS):
        for conversation, thread in enumerate(threads):
            thread.ask(asked(conversation, number))
    check(conversations=len(threads))
