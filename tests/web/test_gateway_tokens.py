"""/tokenize and /detokenize, beside /v1 as vLLM has them and below it."""

from collections.abc import Iterator
from typing import Any

import pytest

from responses_api.models import ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running(chat_template_kwargs={"enable_thinking": False}) as started:
        yield started


@pytest.mark.parametrize("base", ["", "/v1"])
def test_text_becomes_tokens_and_tokens_become_text(site: Site, base: str) -> None:
    root = site.server.origin + base
    with site.client() as client:
        tokens = client.post(f"{root}/tokenize", json={"model": "tiny", "prompt": "hi there"}).json()
        text = client.post(f"{root}/detokenize", json={"model": "tiny", "tokens": tokens["tokens"]}).json()
    assert (tokens["count"], tokens["max_model_len"], len(tokens["tokens"])) == (2, 2048, 2)
    assert text == {"prompt": "hi there"}
    assert [seen.path for seen in site.engine.requests] == ["/tokenize", "/detokenize"]
    rows = ResponseRecord.objects.order_by("pk").values_list("api", "status", "input_tokens")
    assert [*rows] == [("tokenize", "completed", 2), ("detokenize", "completed", None)]
    assert not Session.objects.exists()


def test_a_conversation_is_rendered_as_it_would_be_answered(site: Site) -> None:
    messages = [{"role": "user", "content": "hi there"}]
    with site.client() as client:
        body = client.post("/tokenize", json={"model": "tiny", "messages": messages, "return_token_strs": True}).json()
    assert body["token_strs"] == ["hi", " there"]
    assert site.engine.requests[0].body["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prompt": "hi"}, 400, "missing_required_parameter"),
        ({"model": "nobody", "prompt": "hi"}, 404, "model_not_found"),
        ({"model": "tiny"}, 400, "engine_refused"),
    ],
)
def test_errors_are_told(site: Site, body: Any, status: int, code: str) -> None:
    with site.client() as client:
        response = client.post(site.server.origin + "/tokenize", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/tokenize", "/v1/tokenize", "/detokenize"])
def test_a_key_is_needed(site: Site, path: str) -> None:
    with site.client(authorization="") as client:
        assert client.post(site.server.origin + path, json={"model": "tiny", "prompt": "hi"}).status_code == 401
        assert client.get(site.server.origin + path).status_code == 405


def test_an_answer_that_is_none_is_the_engines_error(site: Site) -> None:
    site.engine.script.append(Step(body={"count": 2}))
    with site.client() as client:
        response = client.post("/tokenize", json={"model": "tiny", "prompt": "hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
