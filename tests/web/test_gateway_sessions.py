"""Sessions stay on their engine, new ones take turns, and an engine's death costs no answer."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from endpoints.models import ConfigProfile, Endpoint
from responses_api.models import ResponseRecord, Session, SessionMove
from tests.fakes.scripted_vllm import ScriptedVllm, Step
from tests.web.gateway_server import Site, record, register, running, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running(engines=2) as started:
        yield started


def served_by(site: Site, session: str) -> str:
    response = site.ask(headers={"x-session-id": session})
    assert response.status_code == 200, response.text
    return str(response.headers["x-roundhouse-endpoint"])


def edit(site: Site, endpoint: str, **fields: object) -> None:
    """Edit an endpoint as the admin or a probe does, and wait until the gateway has noticed."""
    Endpoint.objects.filter(name=endpoint).update(**fields)
    site.refresh()


def test_new_sessions_take_turns_and_old_ones_stay(site: Site) -> None:
    first = [served_by(site, f"s{number}") for number in range(6)]
    assert first == ["engine-0", "engine-1"] * 3
    assert [served_by(site, f"s{number}") for number in range(6)] == first
    assert Session.objects.count() == 6
    assert not SessionMove.objects.exists()


def test_sessions_outlive_the_gateway(site: Site) -> None:
    first = [served_by(site, f"s{number}") for number in range(3)]
    site.server.stop()
    site.server.start()
    assert [served_by(site, f"s{number}") for number in range(3)] == first


def test_a_cookie_brings_a_client_back(site: Site) -> None:
    with site.client() as client:
        answers = [client.post("/responses", json={"model": "tiny", "input": "hi"}) for _ in range(4)]
    assert len({answer.headers["x-roundhouse-endpoint"] for answer in answers}) == 1
    assert len({answer.headers["x-session-id"] for answer in answers}) == 1
    cookie = answers[0].headers["set-cookie"]
    assert cookie.startswith("roundhouse_session=sess_")
    assert all(part in cookie for part in ("Path=/v1", "HttpOnly", "SameSite=Lax"))
    assert all("set-cookie" not in answer.headers for answer in answers[1:])
    assert Session.objects.get().requests == 4
    forged = site.ask(headers={"cookie": "roundhouse_session=sess_1.00"})
    assert "set-cookie" in forged.headers


def test_a_first_call_that_fails_has_begun_the_session(site: Site) -> None:
    site.engines[0].script.append(Step(status=400, body={"error": {"message": "no"}}))
    with site.client() as client:
        failed = client.post("/responses", json={"model": "tiny", "input": "hi"})
        second = client.post("/responses", json={"model": "tiny", "input": "hi"})
    assert failed.status_code == 400
    assert failed.headers["x-session-id"] == second.headers["x-session-id"]
    assert failed.headers["x-roundhouse-endpoint"] == second.headers["x-roundhouse-endpoint"] == "engine-0"
    session = Session.objects.get()
    assert (session.requests, session.errors) == (2, 1)


def test_a_dead_engine_costs_no_answer_and_the_move_is_recorded(site: Site) -> None:
    assert served_by(site, "mine") == "engine-0"
    site.engines[0].kill()
    response = site.ask(headers={"x-session-id": "mine"})
    assert response.status_code == 200
    assert response.headers["x-roundhouse-endpoint"] == "engine-1"
    row = record(response)
    assert (row.attempts, row.endpoint_name, row.status) == (2, "engine-1", "completed")
    move = SessionMove.objects.get()
    assert (move.old_endpoint, move.new_endpoint) == ("engine-0", "engine-1")
    assert "cannot be reached" in move.reason
    assert Session.objects.get().moves == 1
    site.engines[0].start()
    assert served_by(site, "mine") == "engine-1"
    assert record(site.ask(headers={"x-session-id": "mine"})).attempts == 1


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Step(status=503, body={"error": {"message": "overloaded"}}), "overloaded"),
        (Step(status=502, body="<html>"), "HTTP status 502"),
        (Step(status=504, body=""), "HTTP status 504"),
        (Step(break_off="before"), "broke the connection off"),
        (Step(break_off="middle"), "broke the connection off"),
    ],
)
def test_an_engine_that_gives_no_answer_is_left_for_another(site: Site, step: Step, reason: str) -> None:
    site.engines[0].script.append(step)
    assert served_by(site, "mine") == "engine-1"
    assert reason in SessionMove.objects.get().reason
    assert len(site.engines[0].chats) == len(site.engines[1].chats) == 1


def test_an_engine_that_dies_while_it_generates_is_left_for_another(site: Site) -> None:
    site.engines[0].script.append(Step(hang=True))
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(served_by(site, "mine")))
    asking.start()
    until(lambda: site.engines[0].chats)
    site.engines[0].kill()
    asking.join(60)
    assert answers == ["engine-1"]


def test_the_only_engine_is_tried_again_and_then_given_up(site: Site) -> None:
    site.profile.endpoints.set([Endpoint.objects.get(name="engine-0")])
    site.engine.script.extend([Step(status=503, body=""), Step(break_off="before")])
    assert record(site.ask()).attempts == 3
    assert not SessionMove.objects.exists()
    site.engine.script.extend([Step(status=503, body={"error": {"message": "overloaded"}})] * 3)
    response = site.ask()
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    error = response.json()["error"]
    assert (error["code"], error["type"], error["message"]) == ("engine_unavailable", "upstream_error", "overloaded")
    row = ResponseRecord.objects.first()
    assert row is not None
    assert (row.attempts, row.http_status, row.endpoint_name) == (3, 503, "engine-0")


def test_when_every_engine_is_dead_the_session_is_kept_and_the_caller_told(site: Site) -> None:
    for engine in site.engines:
        engine.kill()
    response = site.ask(headers={"x-session-id": "mine"})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_unavailable"
    assert response.headers["retry-after"] == "5"
    assert response.headers["x-session-id"] == "mine"
    assert Session.objects.get().errors == 1
    for engine in site.engines:
        engine.start()
    assert site.ask(headers={"x-session-id": "mine"}).status_code == 200


def test_an_unhealthy_endpoint_loses_its_sessions_with_the_reason(site: Site) -> None:
    assert served_by(site, "mine") == "engine-0"
    edit(site, "engine-0", health="unhealthy", health_reason="no answer for 10 s")
    assert served_by(site, "mine") == "engine-1"
    assert SessionMove.objects.get().reason == "engine-0 is unhealthy: no answer for 10 s"
    assert len(site.engines[0].chats) == 1


def test_a_draining_endpoint_keeps_its_sessions_and_gets_no_new_ones(site: Site) -> None:
    assert served_by(site, "old") == "engine-0"
    edit(site, "engine-0", draining=True)
    assert served_by(site, "old") == "engine-0"
    assert {served_by(site, f"new-{number}") for number in range(4)} == {"engine-1"}


def test_an_empty_pool_and_a_pool_that_cannot_be_asked_say_why(site: Site) -> None:
    ConfigProfile.objects.create(name="bare")
    Endpoint.objects.update(enabled=False)
    site.refresh()
    with site.client(x_session_id="mine") as client:
        bare = client.post("/responses", json={"model": "bare", "input": "hi"})
        off = client.post("/responses", json={"model": "tiny", "input": "hi"})
    assert (bare.status_code, off.status_code) == (503, 503)
    assert "its pool is empty" in bare.json()["error"]["message"]
    assert "engine-0 is disabled; engine-1 is disabled" in off.json()["error"]["message"]
    assert Session.objects.filter(key="mine", endpoint=None).count() == 2
    Endpoint.objects.update(enabled=True)
    site.refresh()
    assert served_by(site, "mine") == "engine-0"
    assert not SessionMove.objects.exists()


def test_an_endpoint_that_is_registered_serves_within_about_a_second(site: Site) -> None:
    with ScriptedVllm() as third:
        site.profile.endpoints.add(register(third, "engine-2"))
        started = time.monotonic()
        until(lambda: site.ask().headers["x-roundhouse-endpoint"] == "engine-2")
        assert time.monotonic() - started < 10  # a second, on a machine that is not busy


def test_two_gateways_over_one_database_agree() -> None:
    """Two web processes, each with its own view: every session is on one engine, the turns are exact."""
    with running(engines=2) as site, Site.another(site) as other, ThreadPoolExecutor(16) as executor:
        asked = [(used, f"s{number % 40}") for number in range(160) for used in (site, other)]
        answers = [*executor.map(lambda pair: (pair[1], served_by(*pair)), asked)]
    homes = dict(answers)
    assert set(answers) == set(homes.items())
    assert Counter(homes.values()) == {"engine-0": 20, "engine-1": 20}
    assert sum(Session.objects.values_list("requests", flat=True)) == 320


def test_a_session_that_moved_is_known_to_have_in_every_process() -> None:
    """It does not go back to where another process had seen it last."""
    with running(engines=2) as site, Site.another(site) as other:
        assert served_by(site, "mine") == served_by(other, "mine") == "engine-0"
        site.engines[0].script.append(Step(status=503, body=""))
        assert served_by(site, "mine") == "engine-1"
        other.refresh()
        assert served_by(other, "mine") == "engine-1"
        assert len(site.engines[0].chats) == 3
