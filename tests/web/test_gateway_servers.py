"""Answers as the openai package declares them."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

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
