"""Whatever goes wrong is answered in OpenAI's shape, and recorded once the profile is known."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from endpoints.models import ApiKey, ConfigProfile
from responses_api.consumers.base import MAX_BODY_BYTES
from responses_api.models import ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object, after a check that it is one."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert "Traceback" not in response.text
    return error


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "invalid_api_key"),
        ({"authorization": "Bearer"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer nonsense"}, 401, "invalid_api_key"),
        ({"authorization": "Basic {good}"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer {disabled}"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer {expired}"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer {control}"}, 403, "insufficient_scope"),
        ({"authorization": "Bearer {elsewhere}"}, 404, "model_not_found"),
        ({"authorization": "bearer {good}"}, 200, None),
        ({"x-api-key": "{good}"}, 200, None),
    ],
)
def test_a_key_is_asked_for(headers: dict[str, str], status: int, code: str | None) -> None:
    past = timezone.now() - timedelta(seconds=1)
    elsewhere, elsewhere_key = ApiKey.issue(name="elsewhere")
    elsewhere.profiles.add(ConfigProfile.objects.create(name="other"))
    known = {
        "good": ApiKey.issue(name="good", expires_at=timezone.now() + timedelta(hours=1))[1],
        "disabled": ApiKey.issue(name="disabled", enabled=False)[1],
        "expired": ApiKey.issue(name="expired", expires_at=past)[1],
        "control": ApiKey.issue(name="control", scope_gateway=False, scope_control=True)[1],
        "elsewhere": elsewhere_key,
    }
    with running() as site:
        filled = {name: value.format(**known) for name, value in headers.items()}
        asked = {"model": "tiny", "input": "hi"}
        response = httpx.post(site.url + "/responses", headers=filled, json=asked, timeout=90)
        assert response.status_code == status
        if code is not None:
            error = error_of(response)
            assert error["code"] == code
            assert (response.headers.get("www-authenticate") == "Bearer") == (status == 401)
            assert not any(key in response.text for key in known.values())
            if code == "model_not_found":
                assert "The models are: other." in error["message"]
                listed = httpx.get(site.url + "/models", headers=filled, timeout=90).json()["data"]
                assert [card["id"] for card in listed] == ["other"]
    assert ResponseRecord.objects.exists() == (status == 200)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("POST", "/responses", {"model": "nope", "input": "hi"}, 404, "model_not_found", "model"),
        ("POST", "/chat/completions", {"model": "nope", "messages": []}, 404, "model_not_found", "model"),
        ("POST", "/responses", b"{", 400, "invalid_json", None),
        ("POST", "/chat/completions", b"\xff", 400, "invalid_json", None),
        ("POST", "/responses", {"model": "tiny"}, 400, "missing_required_parameter", "input"),
        ("POST", "/responses", {"model": "tiny", "input": "hi", "x": 1}, 400, "unknown_parameter", "x"),
        (
            "POST",
            "/responses",
            {"model": "tiny", "input": "hi", "stream": True, "prompt": {"id": "p"}},
            400,
            "unsupported_parameter",
            "prompt",
        ),
        (
            "POST",
            "/chat/completions",
            {"model": "tiny", "messages": [], "stream": "yes"},
            400,
            "invalid_type",
            "stream",
        ),
        ("GET", "/responses", None, 405, "method_not_allowed", None),
        ("DELETE", "/models", None, 405, "method_not_allowed", None),
        ("POST", "/nothing/here", {}, 404, "unknown_url", None),
        ("GET", "", None, 404, "unknown_url", None),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    site: Site, method: str, path: str, body: Any, status: int, code: str, param: str | None
) -> None:
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    with site.client() as client:
        response = client.request(method, path, **sent)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    if code == "model_not_found":
        assert "The models are: tiny." in error["message"]
    if status == 405:
        assert response.headers["allow"] in {"POST", "GET, HEAD"}
    assert not ResponseRecord.objects.exists()
    assert not site.engine.requests


def test_head_is_get_without_the_body(site: Site) -> None:
    with site.client() as client:
        answer = client.post("/responses", json={"model": "tiny", "input": "hi"})
        for path in (
            "/models",
            "/models/tiny",
            "/models/tiny/",
            f"/responses/{answer.json()['id']}",
            "/responses/none",
        ):
            asked, full = client.head(path), client.get(path)
            assert (asked.status_code, asked.content) == (full.status_code, b"")
            assert asked.headers["content-length"] == full.headers["content-length"]
        assert client.get("/responses/none").status_code == 404
        assert client.head(site.server.origin + "/livez").status_code == 200


def test_what_can_just_be_read_and_not_be_passed_on_is_refused(site: Site) -> None:
    body = b'{"model": "tiny", "input": "hi", "chat_template_kwargs": {"a": %b}}'
    with site.client() as client:
        answers = [
            client.post("/responses", content=body % (b"[" * depth + b"]" * depth)) for depth in range(950, 1000)
        ]
    assert {(one.status_code, one.json().get("error") and error_of(one)["code"]) for one in answers} <= {
        (200, None),
        (400, "invalid_json"),
    }


def test_an_unknown_path_of_anthropics_api_is_refused_in_its_words(site: Site) -> None:
    with site.client() as client:
        refused = client.post("/messages/batches", json={})
    assert (refused.status_code, refused.json()["error"]["type"]) == (404, "not_found_error")


def test_a_body_that_is_compressed_is_refused(site: Site) -> None:
    body = {"model": "tiny", "input": "hi"}
    with site.client() as client:
        for path in ("/responses", "/messages", "/conversations"):
            refused = client.post(path, json=body, headers={"content-encoding": "gzip"})
            assert (refused.status_code, refused.headers["accept-encoding"]) == (415, "identity")
            assert "'gzip'" in refused.json()["error"]["message"]
        assert client.post("/responses", json=body, headers={"content-encoding": "identity"}).status_code == 200


def test_what_cannot_be_converted_has_a_session_and_a_row(site: Site) -> None:
    response = site.ask([{"role": "user", "content": "hi"}, {"type": "hologram"}], headers={"x-session-id": "mine"})
    error = error_of(response)
    assert (response.status_code, error["param"], error["code"]) == (400, "input[1].type", "invalid_value")
    assert response.headers["x-session-id"] == "mine"
    row = ResponseRecord.objects.get()
    assert (row.status, row.http_status, row.error_code, row.attempts) == ("failed", 400, "invalid_value", 0)
    assert row.engine_ms is None
    session = Session.objects.get()
    assert (session.key, session.requests, session.errors) == ("mine", 1, 1)


def test_a_session_header_that_cannot_be_one_is_named(site: Site) -> None:
    response = site.ask(headers={"x-session-id": "x" * 201})
    assert (response.status_code, error_of(response)["param"]) == (400, "X-Session-ID")
    assert not Session.objects.exists()


def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    response = site.ask("x" * MAX_BODY_BYTES)
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
    assert site.ask("short").status_code == 200


REFUSED = ("invalid_request_error", "engine_refused")
BROKEN = ("upstream_error", "upstream_error")


@pytest.mark.parametrize(
    ("step", "status", "kind_and_code", "message"),
    [
        (
            Step(status=400, body={"error": {"message": "top_k must be -1", "code": 400}}),
            400,
            REFUSED,
            "top_k must be -1",
        ),
        (
            Step(status=404, body={"detail": "Not Found"}),
            404,
            ("invalid_request_error", "not_served"),
            "does not serve /v1/",
        ),
        (Step(status=422, body="<html>"), 422, REFUSED, "HTTP status 422"),
        (Step(status=429, body={"message": "slow down"}), 429, ("rate_limit_error", "engine_refused"), "slow down"),
        (Step(status=400, body={"error": {"message": "x: max_tokens, context length"}}), 400, REFUSED, "x: max_tokens"),
        (
            Step(status=401, body={"error": "Unauthorized"}),
            502,
            BROKEN,
            "refused the key of its endpoint: Unauthorized",
        ),
        (Step(status=500, body={"error": {"message": "CUDA error"}}), 502, BROKEN, "CUDA error"),
        (Step(status=302, body=""), 502, BROKEN, "HTTP status 302"),
        (Step(body="<html>"), 502, BROKEN, "not a chat completion"),
        (Step(body={"choices": []}), 502, BROKEN, "no choices"),
        (Step(body={"choices": [{"message": {"content": {"a": 1}}}]}), 502, BROKEN, "not a chat completion"),
    ],
)
@pytest.mark.parametrize("api", ["responses", "chat"])
def test_an_engines_error_is_told_in_its_words(
    site: Site, step: Step, status: int, kind_and_code: tuple[str, str], message: str, api: str
) -> None:
    site.engine.script.append(step)
    with site.client() as client:
        if api == "responses":
            response = client.post("/responses", json={"model": "tiny", "input": "hi"})
        else:
            messages = [{"role": "user", "content": "hi"}]
            response = client.post("/chat/completions", json={"model": "tiny", "messages": messages})
    error = error_of(response)
    assert (response.status_code, (error["type"], error["code"])) == (status, kind_and_code)
    assert message in error["message"]
    assert len(site.engine.requests) == 1
    row = ResponseRecord.objects.get()
    assert (row.status, row.http_status, row.error_code, row.attempts) == ("failed", status, error["code"], 1)
    assert message in row.detail
    assert response.headers["x-session-id"] == Session.objects.get().key
    assert response.headers["x-roundhouse-endpoint"] == "engine-0"


def test_an_engines_param_code_and_pause_are_kept(site: Site) -> None:
    body = {"error": {"message": "slow down", "param": "n", "code": "rate_limited"}}
    site.engine.script.append(Step(status=429, body=body, headers={"retry-after": "7"}))
    response = site.ask()
    assert (error_of(response)["param"], error_of(response)["code"]) == ("n", "rate_limited")
    assert response.headers["retry-after"] == "7"


def test_an_engine_that_takes_too_long_is_a_504() -> None:
    with running(request_timeout_seconds=3) as site:
        site.engine.always = Step(hang=True)
        response = site.ask()
    error = error_of(response)
    assert (response.status_code, error["code"], error["type"]) == (504, "engine_timeout", "upstream_error")
    assert ResponseRecord.objects.get().error_code == "engine_timeout"
    assert len(site.engine.requests) == 1


def test_a_generation_that_the_engine_aborted_is_failed_and_kept(site: Site) -> None:
    site.engine.script.append(Step(finish_reason="abort"))
    body = site.ask().json()
    assert (body["status"], body["output"][0]["content"][0]["text"]) == ("failed", "echo: hi")
    row = ResponseRecord.objects.get()
    assert (row.status, row.http_status, row.error_code, row.finish_reason) == (
        "failed",
        200,
        "engine_aborted",
        "abort",
    )


def test_a_bug_is_a_500_with_a_request_id_and_the_traceback_stays_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Every way in refuses such a value; written past them, it stands for whatever nobody has thought of.
    with running(default_headers=["no object"]) as site, caplog.at_level(logging.ERROR, logger="responses_api"):
        response = site.ask(headers={"x-request-id": "req-77"})
    error = error_of(response)
    assert (response.status_code, error["code"], error["type"]) == (500, "server_error", "server_error")
    assert "req-77" in error["message"]
    assert "mapping" not in error["message"]
    (logged,) = [record for record in caplog.records if record.name == "responses_api.trace"]
    assert "req-77" in logged.getMessage()
    assert logged.exc_info is not None
    assert ResponseRecord.objects.get().error_code == "server_error"
