"""OpenAI's own client for Python, over its WebSocket."""

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseCompletedEvent, ResponseTextDeltaEvent

from tests.clients.scripts import calling, ledger, roles
from tests.clients.test_openai import TOOL
from tests.web.gateway_server import Site

pytestmark = pytest.mark.django_db(transaction=True)


def test_its_connection_loops_over_tools_without_storing_anything(site: Site) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    with site.openai() as client, client.responses.connect() as connection:
        connection.response.create(model="tiny", input="Weather in Oslo?", tools=[TOOL], store=False)
        first = end_of(connection)
        call = first.output[-1]
        assert call.type == "function_call"
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        connection.response.create(
            model="tiny", input=[result], tools=[TOOL], store=False, previous_response_id=first.id
        )
        assert end_of(connection).output_text == "echo: rain"
    assert roles(site.engine.chats[1]) == ["user", "assistant", "tool"]
    assert ledger() == [("responses", "completed")] * 2


def end_of(connection: Any) -> Any:
    """Return the response that the current turn ends with."""
    for event in connection:
        if isinstance(event, ResponseCompletedEvent):
            return event.response
        assert event.type != "error", event
    return pytest.fail("The connection ended.")


def test_its_connection_hears_of_errors_and_goes_on(site: Site) -> None:
    with site.openai() as client, client.responses.connect() as connection:
        connection.response.create(model="tiny", input="hi", previous_response_id="resp_unknown")
        refused: Any = connection.recv()
        assert (refused.type, refused.error.code) == ("error", "previous_response_not_found")
        connection.response.create(model="tiny", input="hello")
        assert end_of(connection).output_text == "echo: hello"


async def converse(site: Site) -> tuple[list[str], str]:
    """Return the pieces that the asynchronous connection is sent, and what they make."""
    deltas: list[str] = []
    async with (
        AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client,
        client.responses.connect() as connection,
    ):
        await connection.response.create(model="tiny", input="hello there")
        async for event in connection:
            if isinstance(event, ResponseTextDeltaEvent):
                deltas.append(event.delta)
            elif isinstance(event, ResponseCompletedEvent):
                break
    assert isinstance(event, ResponseCompletedEvent)
    return deltas, event.response.output_text


def test_its_async_connection_streams(site: Site) -> None:
    assert asyncio.run(converse(site)) == (["echo:", " hello", " there"], "echo: hello there")
