"""/v1/embeddings, passed through."""

from collections.abc import Iterator

import pytest

from responses_api.models import ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running(extra_body={"temperature": 0.5}) as started:
        yield started


def test_openais_client_gets_its_vectors(site: Site) -> None:
    with site.openai() as client:
        plain = client.embeddings.create(model="tiny", input=["a b", "c"], encoding_format="float", dimensions=4)
        packed = client.embeddings.create(model="tiny", input=["a b"], dimensions=4)  # as base64
    assert [len(one.embedding) for one in plain.data] == [4, 4]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert (plain.model, plain.usage.prompt_tokens) == ("tiny", 3)
    [seen, _] = site.engine.requests
    assert (seen.path, "temperature" in seen.body) == ("/v1/embeddings", False)
    row = ResponseRecord.objects.get(input_tokens=3)
    assert (row.api, row.status, row.endpoint_name, row.empty_cause) == ("embeddings", "completed", "engine-0", "")
    assert row.session is None


def test_a_text_that_does_not_fit_is_an_error_whatever_the_profile_says(site: Site) -> None:
    with site.client() as client:
        response = client.post("/embeddings", json={"model": "tiny", "input": "word " * 3000})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
    row = ResponseRecord.objects.get()
    assert (row.status, row.empty_cause, row.error_code) == ("failed", "", "context_length_exceeded")


def test_a_request_without_a_session_goes_to_any_engine_that_answers() -> None:
    with running(engines=2) as site:
        site.engines[0].always = Step(status=503, body="")
        with site.client() as client:
            for _ in range(6):
                assert client.post("/embeddings", json={"model": "tiny", "input": "a"}).status_code == 200
        assert {*ResponseRecord.objects.values_list("endpoint_name", flat=True)} == {"engine-1"}
        assert not Session.objects.exists()


def test_a_request_with_a_session_goes_to_its_engine() -> None:
    with running(engines=3) as site, site.client(x_session_id="mine") as client:
        endpoints = {
            client.post("/embeddings", json={"model": "tiny", "input": "a"}).headers["x-roundhouse-endpoint"]
            for _ in range(6)
        }
    assert len(endpoints) == 1


def test_without_an_engine_there_is_an_error(site: Site) -> None:
    site.profile.endpoints.clear()
    site.refresh()
    with site.client() as client:
        response = client.post("/embeddings", json={"model": "tiny", "input": "a"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_unavailable")


def test_an_engine_for_text_has_none(site: Site) -> None:
    site.engine.script.append(Step(status=404, body={"detail": "Not Found"}))
    with site.client() as client:
        error = client.post("/embeddings", json={"model": "tiny", "input": "a"}).json()["error"]
    assert error["code"] == "not_served"
    assert error["message"] == "The engine of the model 'tiny' does not serve /v1/embeddings."
