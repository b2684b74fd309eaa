"""/v1/completions passed through, and models that are asked for text completions whatever the caller asks for."""

from collections.abc import Iterator
from typing import Any

import pytest

from responses_api.models import ResponseRecord, Session, SessionMove
from tests.contract.life import read_chunks
from tests.fakes.engine_words import END, id_of
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, record, running
from tests.web.streams import ask, ask_chat

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi there"}]


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def bodies(site: Site, path: str) -> list[dict[str, Any]]:
    """Return what the first engine was asked on a path."""
    return [seen.body for seen in site.engine.requests if seen.path == path]


def test_openais_client_completes_text(site: Site) -> None:
    with site.openai() as client:
        whole = client.completions.create(model="tiny", prompt=["hi there", "and you"], max_tokens=9, n=2)
        assert [choice.text for choice in whole.choices] == ["echo: hi there"] * 2 + ["echo: and you"] * 2
        row = ResponseRecord.objects.get(response_id=whole.id)
        assert (row.api, row.status, row.endpoint_name, row.finish_reason) == (
            "completions",
            "completed",
            "engine-0",
            "stop",
        )
        assert (row.input_tokens, row.output_tokens) == (4, 16)
        chunks = [*client.completions.create(model="tiny", prompt="hi there", stream=True)]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "echo: hi there"
    assert {chunk.id for chunk in chunks} == {ResponseRecord.objects.get(output_tokens=4).response_id}
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_thoughts_stay_in_a_completion(site: Site) -> None:
    site.engine.script.append(Step(message={"content": "<think>a</think>b"}))
    with site.client() as client:
        body = client.post("/completions", json={"model": "tiny", "prompt": "x"}).json()
    assert body["choices"][0]["text"] == "<think>a</think>b"


def test_the_usage_is_streamed_to_those_who_ask(site: Site) -> None:
    options = {"include_usage": True}
    with site.client() as client:
        body = {"model": "tiny", "prompt": "a b", "stream": True, "stream_options": options}
        chunks = read_chunks(client.post("/completions", json=body).content)
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert chunks[-1]["choices"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_an_empty_completion(site: Site, stream: bool) -> None:
    with site.client() as client:
        response = client.post("/completions", json={"model": "tiny", "prompt": "word " * 3000, "stream": stream})
    body = read_chunks(response.content)[0] if stream else response.json()
    assert (body["choices"][0]["text"], body["choices"][0]["finish_reason"]) == ("", "length")
    row = ResponseRecord.objects.get(response_id=body["id"])
    assert (row.status, row.empty_cause, row.input_tokens) == ("incomplete", "context_overflow", 3000)


def test_a_completion_moves_to_another_engine() -> None:
    with running(engines=2) as site:
        site.engines[0].script.append(Step(status=503, body=""))
        with site.client() as client:
            response = client.post("/completions", json={"model": "tiny", "prompt": "hi"})
        assert response.headers["x-roundhouse-endpoint"] == "engine-1"
        assert record(response).attempts == 2
        assert SessionMove.objects.get().new_endpoint == "engine-1"


TEXT = {"choices": [{"index": 0, "text": "kept"}]}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(break_off="middle"), "broke the connection off"),
        (Step(events=[TEXT]), "in the middle"),
        (Step(events=[TEXT, "data: <html>\n\n"]), "not a completion"),
        (Step(events=[TEXT, {"error": {"message": "CUDA error"}}]), "CUDA error"),
        (Step(events=["data: [DONE]\n\n"]), "no choices"),
    ],
)
def test_a_stream_that_breaks_says_so(site: Site, step: Step, message: str) -> None:
    site.engine.script.append(step)
    with site.client() as client:
        response = client.post("/completions", json={"model": "tiny", "prompt": "a b c", "stream": True})
    assert message in read_chunks(response.content)[-1]["error"]["message"]
    row = ResponseRecord.objects.get()
    assert (row.status, row.http_status, row.error_code) == ("failed", 200, "upstream_error")


# Models that are asked for text completions.


@pytest.fixture(params=[False, True], ids=["raw", "rendered"])
def base(request: pytest.FixtureRequest) -> Iterator[Site]:
    with running(use_completions_api=True, render_chat_template=request.param) as started:
        yield started


def test_a_response_of_a_base_model(base: Site) -> None:
    body = base.ask("hi there", instructions="Be brief.", temperature=0.5, max_output_tokens=50).json()
    assert body["output"][0]["content"][0]["text"].endswith("hi there")
    assert (body["status"], body["temperature"], body["usage"]["output_tokens"]) == ("completed", 0.5, 6)
    [sent] = bodies(base, "/v1/completions")
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 50)
    if not base.profile.render_chat_template:
        assert sent == {"model": "tiny", "prompt": "Be brief.\n\nhi there", "temperature": 0.5, "max_tokens": 50}
        return
    [asked] = bodies(base, "/tokenize")
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert len(sent["prompt"]) == 4


def test_a_streamed_response_of_a_base_model(base: Site) -> None:
    base.engine.script.extend([Step()] * base.profile.render_chat_template)
    base.engine.script.append(Step(message={"content": "<think>h m</think>yes it is"}))
    streamed = ask(base, "hi there")
    reasoning, message = streamed.last["output"]
    assert (reasoning["summary"][0]["text"], message["content"][0]["text"]) == ("h m", "yes it is")
    assert streamed.last["usage"]["output_tokens"] == 5
    assert ResponseRecord.objects.get().status == "completed"


def test_a_chat_with_a_base_model(base: Site) -> None:
    with base.client() as client:
        body = client.post("/chat/completions", json={"model": "tiny", "messages": MESSAGES}).json()
    [choice] = body["choices"]
    assert choice["message"]["content"].startswith("echo: Be brief.")
    assert (body["object"], body["model"], choice["finish_reason"]) == ("chat.completion", "tiny", "stop")
    chunks = ask_chat(base, messages=MESSAGES)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta.get("role") for delta in deltas[:2]] == ["assistant", None]
    assert "".join(delta["content"] for delta in deltas).startswith("echo: Be brief.")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_a_base_model(base: Site, stream: bool) -> None:
    body = ask(base, "word " * 3000).last if stream else base.ask("word " * 3000).json()
    assert (body["status"], body["output"][0]["content"][0]["text"]) == ("incomplete", "")
    assert ResponseRecord.objects.get().empty_cause == "context_overflow"


def test_tools_are_refused_where_nothing_renders_them(base: Site) -> None:
    response = base.ask(tools=[{"type": "function", "name": "f", "parameters": {}}])
    if base.profile.render_chat_template:
        assert response.status_code == 200
        assert bodies(base, "/tokenize")[0]["tools"][0]["function"]["name"] == "f"
    else:
        error = response.json()["error"]
        assert (response.status_code, error["param"], error["code"]) == (400, "tools", "unsupported_parameter")


def test_an_engine_that_cannot_render_is_named() -> None:
    with running(use_completions_api=True, render_chat_template=True) as site:
        site.engine.script.append(Step(status=400, body={"error": {"message": "no chat template", "code": 400}}))
        response = site.ask()
    assert (response.status_code, response.json()["error"]["message"]) == (400, "no chat template")
    assert Session.objects.get().errors == 1


@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_numbers_of_a_base_models_tokens(template: bool, stream: bool) -> None:
    asked = {"return_token_id_information": True, "use_completions_api": True, "render_chat_template": template}
    with running(**asked) as site:
        body = ask(site, "hi there").last if stream else site.ask("hi there").json()
        item = body["output"][-1]
        assert item["prompt_token_ids"] == [id_of("hi"), id_of(" there")]
        assert item["generation_token_ids"] == [id_of(one) for one in ("echo:", " hi", " there", END)]
        assert len(item["generation_log_probs"]) == 4
        [sent] = bodies(site, "/v1/completions")
        assert (sent["logprobs"], sent["return_token_ids"], sent["return_tokens_as_token_ids"]) == (0, True, True)
        if not stream:
            with site.client() as client:
                chat = client.post("/chat/completions", json={"model": "tiny", "messages": MESSAGES}).json()
            assert chat["choices"][0]["message"]["generation_token_ids"][0] == id_of("echo:")
