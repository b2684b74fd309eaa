"""LangChain's ChatOpenAI over the Responses API."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.clients.scripts import OSLO, City, calling, ledger, roles, saying
from tests.web.gateway_server import Site

pytestmark = pytest.mark.django_db(transaction=True)


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def chat(site: Site, **options: Any) -> ChatOpenAI:
    """Return LangChain's client."""
    key = SecretStr(site.key)
    return ChatOpenAI(model="tiny", base_url=site.url, api_key=key, use_responses_api=True, max_retries=0, **options)


def say(model: Any, history: list[BaseMessage], *, streamed: bool) -> AIMessage:
    """Return the model's next message."""
    if not streamed:
        answer = model.invoke(history)
        assert isinstance(answer, AIMessage)
        return answer
    whole: AIMessageChunk | None = None
    for chunk in model.stream(history):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


def converse(site: Site, *, streamed: bool, **options: Any) -> list[AIMessage]:
    """Return what the model says: a call, what it makes of its result, and an answer to a second question."""
    site.engine.script.append(calling("weather", city="Oslo"))
    model = chat(site, **options).bind_tools([weather])
    history: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("Weather in Oslo?")]
    call = say(model, history, streamed=streamed)
    assert [(made["name"], made["args"]) for made in call.tool_calls] == [("weather", {"city": "Oslo"})]
    result = weather.invoke(call.tool_calls[0])
    assert isinstance(result, ToolMessage)
    history += [call, result]
    told = say(model, history, streamed=streamed)
    history += [told, HumanMessage("Thank you")]
    return [call, told, say(model, history, streamed=streamed)]


@pytest.mark.parametrize("remembers", ["client", "server"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_model_with_tools_converses(site: Site, streamed: bool, remembers: str) -> None:
    _, told, thanked = converse(site, streamed=streamed, use_previous_response_id=remembers == "server")
    assert (told.text, thanked.text) == ("echo: rain in Oslo", "echo: Thank you")
    assert told.usage_metadata is not None
    assert told.usage_metadata["output_tokens"] == 5
    assert [roles(chat) for chat in site.engine.chats] == [
        ["system", "user"],
        ["system", "user", "assistant", "tool"],
        ["system", "user", "assistant", "tool", "assistant", "user"],
    ]
    assert ledger() == [("responses", "completed")] * 3


def test_a_model_answers_in_a_structure(site: Site) -> None:
    site.engine.script.append(saying(OSLO.model_dump_json()))
    assert chat(site).with_structured_output(City, method="json_schema").invoke("Oslo?") == OSLO
    assert site.engine.chats[0]["response_format"]["type"] == "json_schema"
    site.engine.script.append(calling("City", **OSLO.model_dump()))
    assert chat(site).with_structured_output(City, method="function_calling").invoke("Oslo?") == OSLO
    assert site.engine.chats[1]["tool_choice"] == {"type": "function", "function": {"name": "City"}}
