"""Requests wait for engines: those that are paused, that are away, that are slow. Nobody waits for ever."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from django.test import override_settings
from django.utils import timezone

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api import breaker
from responses_api.models import ResponseRecord, Session, SessionMove
from tests.fakes.scripted_vllm import ScriptedVllm, Step
from tests.web.gateway_server import NO_TLS, Site, record, register, running, until
from tests.web.streams import ask

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def asked(site: Site, number: int = 1, **request: object) -> Iterator[list[Future[httpx.Response]]]:
    """So many requests, of as many sessions, on their way."""
    with ThreadPoolExecutor(number) as executor:
        yield [
            executor.submit(site.ask, **{"headers": {"x-session-id": f"w{each}"}, **request}) for each in range(number)
        ]


def circuit_of(name: str) -> str:
    return Endpoint.objects.get(name=name).circuit_cause


# Away


def test_requests_are_held_while_no_engine_is_there_and_served_when_one_returns() -> None:
    with running(hold_seconds=80) as site:
        site.engine.kill()
        with asked(site, 8) as answers:
            until(lambda: circuit_of("engine-0") == "unreachable")
            assert not any(answer.done() for answer in answers)
            site.engine.start()
            assert {answer.result(60).status_code for answer in answers} == {200}
        until(lambda: circuit_of("engine-0") == "")
        assert not SessionMove.objects.exists()
        assert Endpoint.objects.get().circuit_reason == ""


def test_whoever_waits_in_vain_is_told_when_to_come_back() -> None:
    with running(hold_seconds=0.5) as site:
        site.engine.kill()
        started = time.monotonic()
        refused = site.ask()
        assert 0.4 < time.monotonic() - started < 10
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        Endpoint.objects.update(health="unhealthy", health_reason="no answer for 10 s")
        site.refresh()
        refused = site.ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "no answer for 10 s" in refused.json()["error"]["message"]


def test_an_endpoint_that_turns_healthy_serves_those_who_wait() -> None:
    with running(hold_seconds=20) as site:
        Endpoint.objects.update(health="unhealthy")
        site.refresh()
        with asked(site, 4) as answers:
            until(lambda: Session.objects.count() == 4)
            Endpoint.objects.update(health="healthy")
            assert {answer.result(30).status_code for answer in answers} == {200}


def test_nobody_waits_for_what_is_switched_off() -> None:
    with running(hold_seconds=20) as site:
        Endpoint.objects.update(enabled=False)
        site.refresh()
        started = time.monotonic()
        assert site.ask().status_code == 503
        assert time.monotonic() - started < 10


def test_a_caller_who_leaves_while_waiting_is_recorded_and_asks_nobody() -> None:
    with running(hold_seconds=20) as site:
        Endpoint.objects.update(health="unhealthy")
        site.refresh()
        site.leave(Session.objects.exists)
        assert until(ResponseRecord.objects.first).error_code == "client_left"
        assert not site.engine.chats


# Circuits


def test_a_circuit_opens_for_all_processes_and_one_request_closes_it() -> None:
    with running(engines=2) as site, Site.another(site) as other:
        other.refresh()
        site.engine.kill()
        for number in range(6):
            assert site.ask(headers={"x-session-id": f"s{number}"}).headers["x-roundhouse-endpoint"] == "engine-1"
        until(lambda: circuit_of("engine-0") == "unreachable")
        Endpoint.objects.filter(name="engine-0").update(circuit_until=timezone.now() + timedelta(hours=1))
        other.refresh()
        assert {record(other.ask()).attempts for _ in range(4)} == {1}
        site.engine.start()
        assert {other.ask().headers["x-roundhouse-endpoint"] for _ in range(2)} == {"engine-1"}
        Endpoint.objects.filter(name="engine-0").update(circuit_until=timezone.now())
        until(lambda: other.ask().headers["x-roundhouse-endpoint"] == "engine-0")
        until(lambda: circuit_of("engine-0") == "")
        until(lambda: site.ask().headers["x-roundhouse-endpoint"] == "engine-0")


def test_answers_that_stall_open_the_circuit_and_slow_ones_that_flow_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "PAUSES", (600.0,))
    with running(engines=2, idle_timeout_seconds=1) as site:
        site.engine.script.extend(Step(gap=0.3) for _ in range(3))
        with asked(site, 6, stream=True) as slow:
            assert {answer.result(60).status_code for answer in slow} == {200}
        assert circuit_of("engine-0") == ""
        site.engine.always = Step(stall=True)
        mine = list(Session.objects.filter(endpoint__name="engine-0").values_list("key", flat=True))
        for key in mine:
            assert ask(site, headers={"x-session-id": key}).events[-1]["type"] == "response.failed"
        until(lambda: circuit_of("engine-0") == "stalled")
        assert site.ask(headers={"x-session-id": mine[0]}).headers["x-roundhouse-endpoint"] == "engine-1"
        assert "gave no answer lately: Its answers stall." in SessionMove.objects.get().reason


# Slow, busy


def test_an_engine_that_does_not_begin_in_time_is_passed_over() -> None:
    with running(engines=2, first_byte_timeout_seconds=2) as site:
        site.engine.script.append(Step(hang=True))
        streamed = ask(site, headers={"x-session-id": "mine"})
        assert streamed.headers["x-roundhouse-endpoint"] == "engine-1"
        assert SessionMove.objects.get().reason == "The engine did not begin its answer within 2 seconds."
        until(lambda: site.engine.requests[0].client_left)


def test_what_an_engine_says_about_coming_back_is_honoured() -> None:
    with running(hold_seconds=5) as site:
        site.engine.script.append(Step(status=503, body="", headers={"retry-after": "1"}))
        started = time.monotonic()
        answer = site.ask()
        assert answer.status_code == 200
        assert time.monotonic() - started > 1
        assert record(answer).attempts == 2
        site.engine.always = Step(status=503, body="", headers={"retry-after": "77"})
        refused = site.ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "77")


def test_attempts_are_bounded() -> None:
    with running(engines=4, max_attempts=2, hold_seconds=20) as site:
        for engine in site.engines:
            engine.always = Step(break_off="before")
        assert site.ask().status_code == 502
        assert sum(len(engine.chats) for engine in site.engines) == 2


def test_a_process_asks_again_as_often_as_its_budget_allows() -> None:
    with override_settings(RETRY_BURST=1, RETRY_SHARE=0), running(engines=2) as site:
        for engine in site.engines:
            engine.script.append(Step(break_off="before"))
        assert [site.ask().status_code for _ in range(3)] == [502, 200, 200]
        assert sum(len(engine.chats) for engine in site.engines) == 4
        site.engine.always = site.engines[1].always = Step(break_off="before")
        assert site.ask().status_code == 502
        assert sum(len(engine.chats) for engine in site.engines) == 5


def test_what_an_engine_answered_is_never_asked_for_again() -> None:
    with running(engines=2) as site:
        site.engine.script.append(Step(status=500, body={"error": {"message": "CUDA error"}}))
        assert site.ask().status_code == 502
        assert sum(len(engine.chats) for engine in site.engines) == 1


# Pauses


@pytest.mark.parametrize("paused", [Endpoint, ConfigProfile])
def test_while_paused_requests_wait_and_none_fails(paused: type[Endpoint] | type[ConfigProfile]) -> None:
    with running(hold_seconds=0.2) as site:
        site.engine.script.append(Step(delay=1.5))
        with asked(site) as already:
            until(lambda: site.engine.chats)
            paused.objects.filter(name__in=["tiny", "engine-0"]).update(paused=True)
            site.refresh()
            with asked(site, 5) as waiting:
                assert already[0].result(30).status_code == 200
                # As for new weights: the engine is gone for a while.
                site.engine.kill()
                Endpoint.objects.update(health="unhealthy")
                site.refresh()
                site.engine.start()
                Endpoint.objects.update(health="healthy")
                site.refresh()  # a reading between the two edits may see one without the other, and nobody is patient
                assert not any(answer.done() for answer in waiting)
                assert len(site.engine.chats) == 1
                paused.objects.update(paused=False)
                started = time.monotonic()
                assert {answer.result(30).status_code for answer in waiting} == {200}
                assert time.monotonic() - started < 10
        assert not SessionMove.objects.exists()


def test_new_sessions_go_past_a_paused_endpoint_and_its_own_wait() -> None:
    with running(engines=2) as site:
        assert site.ask(headers={"x-session-id": "w0"}).headers["x-roundhouse-endpoint"] == "engine-0"
        Endpoint.objects.filter(name="engine-0").update(paused=True)
        site.refresh()
        with asked(site) as waiting:
            assert {site.ask().headers["x-roundhouse-endpoint"] for _ in range(3)} == {"engine-1"}
            assert not waiting[0].done()
            Endpoint.objects.update(paused=False)
            assert waiting[0].result(30).headers["x-roundhouse-endpoint"] == "engine-0"


# The configuration, live


def test_what_was_just_made_is_there_at_once() -> None:
    with running() as site, ScriptedVllm() as second:
        assert site.ask().status_code == 200
        made = ConfigProfile.objects.create(name="brand-new", upstream_model="tiny")
        made.endpoints.add(register(second, "second"))
        _, site.key = ApiKey.issue(name="brand-new")
        with site.client() as client:
            assert client.post("/responses", json={"model": "brand-new", "input": "hi"}).status_code == 200


def test_an_edit_through_the_api_counts_in_every_process_within_about_a_second() -> None:
    with running() as site, Site.another(site) as other:
        both = (site, other)
        assert [used.ask().status_code for used in both] == [200, 200]
        headers = {"authorization": f"Bearer {ApiKey.issue(name='control', scope_control=True)[1]}"}
        url, edit = f"{site.server.origin}/api/v1/profiles/tiny/", {"sampling_overrides": {"temperature": 0.125}}
        assert httpx.patch(url, json=edit, headers=headers, verify=NO_TLS, timeout=30).status_code == 200
        time.sleep(1.5)  # the half is for a machine that is busy
        assert [used.ask().status_code for used in both] == [200, 200]
        assert [chat.get("temperature") for chat in site.engine.chats] == [None, None, 0.125, 0.125]


def test_a_request_keeps_the_settings_it_began_with() -> None:
    with running(hold_seconds=20, extra_body={"top_k": 7}) as site:
        Endpoint.objects.update(health="unhealthy")
        site.refresh()
        with asked(site) as waiting:
            until(Session.objects.first)
            ConfigProfile.objects.update(extra_body={"top_k": 8}, hold_seconds=0, request_timeout_seconds=1)
            site.refresh()
            Endpoint.objects.update(health="healthy")
            assert waiting[0].result(30).status_code == 200
        assert site.engine.chats[0]["top_k"] == 7
        ConfigProfile.objects.update(request_timeout_seconds=60)
        site.refresh()
        assert site.ask().status_code == 200
        assert site.engine.chats[1]["top_k"] == 8
