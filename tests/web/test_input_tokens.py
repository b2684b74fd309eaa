"""POST /v1/responses/input_tokens: what a response would read, counted by the engine."""

from collections.abc import Iterator
from typing import Any

import pytest

from endpoints.models import ConfigProfile
from responses_api.models import ResponseRecord, Session
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)

THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def refusal(site: Site, **body: Any) -> tuple[int, str, str]:
    """Return the status, the code and the parameter of the error that answers a request."""
    with site.client() as client:
        answer = client.post("/responses/input_tokens", json={"model": "tiny", **body})
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_the_input_is_counted_as_a_response_would_read_it(site: Site) -> None:
    with site.openai() as client:
        alone = client.responses.input_tokens.count(model="tiny", input="one two")
        told = client.responses.input_tokens.count(
            model="tiny",
            input="one two",
            instructions="Be brief.",
            tools=[{"type": "function", "name": "f", "parameters": {}, "strict": None}],
            tool_choice={"type": "function", "name": "f"},
            reasoning={"effort": "low"},
        )
        first = client.responses.create(model="tiny", input="one two")
        continued = client.responses.input_tokens.count(model="tiny", input="three", previous_response_id=first.id)
    assert (alone.input_tokens, alone.object) == (2, "response.input_tokens")
    assert told.input_tokens == 4
    sent = site.engine.requests[1].body
    assert (sent["tools"][0]["function"]["name"], sent["chat_template_kwargs"]) == ("f", {"reasoning_effort": "low"})
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert continued.input_tokens == 2 + 3 + 1
    row = ResponseRecord.objects.filter(api="input_tokens").latest("id")
    assert (row.status, row.input_tokens, row.empty_cause) == ("completed", 6, "")
    assert Session.objects.count() == 1  # that of the response


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"is_responses_native": True}, "one two"),
        ({"use_completions_api": True}, "one two"),
        ({"use_completions_api": True, "render_chat_template": True}, "one two"),
        ({"sequential_reasoning_allowed": False}, [{"role": "user", "content": "one two"}, THOUGHT]),
    ],
)
def test_every_profile_counts(site: Site, settings: dict[str, Any], given: Any) -> None:
    ConfigProfile.objects.update(**settings)
    site.refresh()
    with site.client() as client:
        answer = client.post("/responses/input_tokens", json={"model": "tiny", "input": given})
    assert answer.json() == {"object": "response.input_tokens", "input_tokens": 2}


def test_what_cannot_be_counted_is_refused_by_name(site: Site) -> None:
    assert refusal(site, input="a", stream=True) == (400, "unknown_parameter", "stream")
    assert refusal(site, input="a", previous_response_id="resp_x") == (
        404,
        "previous_response_not_found",
        "previous_response_id",
    )
