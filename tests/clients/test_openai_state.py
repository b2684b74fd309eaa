"""OpenAI's own client for Python, when the server remembers: stored responses and conversations."""

from typing import Any

import openai
import pytest

from tests.clients.scripts import calling, roles
from tests.clients.test_openai import TOOL
from tests.web.gateway_server import Site

pytestmark = pytest.mark.django_db(transaction=True)

WHOLE_TALK = ["user", "assistant", "tool", "assistant", "user"]


def test_it_continues_reads_and_deletes_stored_responses(site: Site) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    result: Any = {"type": "function_call_output", "call_id": "call_weather", "output": "rain"}
    with site.openai() as client:
        first = client.responses.create(model="tiny", input="Weather in Oslo?", tools=[TOOL])
        second = client.responses.create(model="tiny", input=[result], tools=[TOOL], previous_response_id=first.id)
        third = client.responses.create(model="tiny", input="Thank you", previous_response_id=second.id)
        assert (second.output_text, third.output_text) == ("echo: rain", "echo: Thank you")
        assert third.previous_response_id == second.id
        assert client.responses.retrieve(second.id).output_text == "echo: rain"
        assert [item.type for item in client.responses.input_items.list(first.id)] == ["message"]
        client.responses.delete(second.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(second.id)
    assert roles(site.engine.chats[2]) == WHOLE_TALK
    assert site.engine.chats[2]["messages"][1]["reasoning"] == "I need weather."


def test_it_keeps_a_conversation(site: Site) -> None:
    with site.openai() as client:
        conversation = client.conversations.create()
        for prompt in ("hello", "hello again"):
            said = client.responses.create(model="tiny", input=prompt, conversation=conversation.id)
            assert said.output_text == f"echo: {prompt}"
        assert len([*client.conversations.items.list(conversation.id)]) == 4
    assert roles(site.engine.chats[1]) == ["user", "assistant", "user"]
