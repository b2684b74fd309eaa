"""Limits of endpoints and of keys: exact in one process, known to the others within a second."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from endpoints.models import ApiKey, Endpoint
from responses_api.models import Demand, ResponseRecord, SessionMove
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running, until

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def asked(site: Site, number: int, **request: object) -> Iterator[list[Future[httpx.Response]]]:
    """So many requests, of as many sessions, on their way."""
    with ThreadPoolExecutor(number) as executor:
        yield [executor.submit(site.ask, **request) for _ in range(number)]


def go_on(site: Site) -> None:
    """Let the first engine answer: those that it runs, and those that come."""
    site.engine.always = Step()
    site.engine.go_on()


def limit_keys(site: Site, **limits: int | None) -> None:
    ApiKey.objects.update(**limits)
    site.refresh()


@pytest.mark.parametrize("stream", [True, False])
def test_an_endpoint_runs_no_more_than_its_limit_and_the_rest_waits(stream: bool) -> None:
    with running() as site:
        Endpoint.objects.update(max_concurrent=2)
        site.refresh()
        site.engine.always = Step(hang=True)
        with asked(site, 8, stream=stream) as answers:
            until(lambda: wanted_of_an_endpoint(8))
            until(lambda: site.engine.running_now == 2)
            most = 0
            site.engine.always = Step(delay=0.15)
            site.engine.go_on()
            while not all(answer.done() for answer in answers):
                most = max(most, site.engine.running_now)
                time.sleep(0.001)
            assert {answer.result().status_code for answer in answers} == {200}
        assert most <= 2
        until(lambda: not Demand.objects.exists())


def test_callers_take_turns_and_whoever_finds_the_queue_full_is_told() -> None:
    with running() as site:
        Endpoint.objects.update(max_concurrent=1, max_queued=6)
        _, key = ApiKey.issue(name="other")
        site.refresh()
        site.engine.script.append(Step(hang=True))
        with asked(site, 5, user="greedy") as greedy:
            until(lambda: wanted_of_an_endpoint(5))
            site.key = key
            with asked(site, 2, user="modest") as modest:
                until(lambda: wanted_of_an_endpoint(7))
                site.engine.go_on()
                assert {answer.result(30).status_code for answer in [*modest, *greedy]} == {200}
        turns = [chat["user"] for chat in site.engine.chats]
        assert turns == ["greedy", "greedy", "modest", "greedy", "modest", "greedy", "greedy"]
        Endpoint.objects.update(max_queued=0)
        site.refresh()
        site.engine.script.append(Step(hang=True))
        with asked(site, 3) as answers:
            until(lambda: sum(answer.done() for answer in answers) == 2)
            site.engine.go_on()
            refused = [answer.result(30) for answer in answers if answer.result(30).status_code != 200]
        assert [answer.status_code for answer in refused] == [429, 429]
        assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
        assert refused[0].headers["retry-after"]
        assert ResponseRecord.objects.filter(http_status=429).count() == 2


def test_new_sessions_go_past_an_endpoint_that_is_full_and_its_own_wait_until_its_queue_is() -> None:
    with running(engines=2) as site:
        Endpoint.objects.filter(name="engine-0").update(max_concurrent=1, max_queued=1)
        site.refresh()
        assert site.ask(headers={"x-session-id": "own"}).headers["x-roundhouse-endpoint"] == "engine-0"
        site.engines[0].script.append(Step(hang=True))
        with ThreadPoolExecutor(2) as executor:
            own = [executor.submit(site.ask, headers={"x-session-id": "own"})]
            until(lambda: len(site.engines[0].chats) == 2)
            assert {site.ask().headers["x-roundhouse-endpoint"] for _ in range(4)} == {"engine-1"}
            assert not SessionMove.objects.exists()
            own.append(executor.submit(site.ask, headers={"x-session-id": "own"}))
            until(lambda: wanted_of_an_endpoint(2))
            moved = site.ask(headers={"x-session-id": "own"})
            assert (moved.status_code, moved.headers["x-roundhouse-endpoint"]) == (200, "engine-1")
            assert SessionMove.objects.get().reason == "engine-0 has 1 requests waiting already."
            assert len(site.engines[0].chats) == 2
            site.engines[0].kill()
            assert {answer.result(30).status_code for answer in own} == {200}


def test_whoever_leaves_the_queue_makes_room() -> None:
    with running() as site:
        Endpoint.objects.update(max_concurrent=1)
        site.refresh()
        site.engine.script.append(Step(hang=True))
        with asked(site, 1) as first:
            until(lambda: site.engine.chats)
            site.leave(lambda: wanted_of_an_endpoint(2))
            until(lambda: ResponseRecord.objects.filter(error_code="client_left").exists())
            assert len(site.engine.chats) == 1
            site.engine.kill()
            site.engine.start()
            assert first[0].result(30).status_code in {200, 502}
        assert site.ask().status_code == 200


def wanted_of_an_endpoint(number: int) -> bool:
    """Whether so many requests run or wait."""
    return Demand.objects.filter(subject__startswith="endpoint", running=number).exists()


def test_a_limit_that_is_raised_lets_in_who_waits_already() -> None:
    with running() as site:
        Endpoint.objects.update(max_concurrent=1)
        site.refresh()
        site.engine.always = Step(hang=True)
        with asked(site, 3) as answers:
            until(lambda: wanted_of_an_endpoint(3))
            Endpoint.objects.update(max_concurrent=3)
            until(lambda: len(site.engine.chats) == 3)
            go_on(site)
            assert {answer.result(30).status_code for answer in answers} == {200}


def test_who_waits_for_an_endpoint_that_is_paused_meanwhile_waits_on() -> None:
    with running() as site:
        Endpoint.objects.update(max_concurrent=1)
        site.refresh()
        site.engine.script.append(Step(hang=True))
        with asked(site, 2) as answers:
            until(lambda: wanted_of_an_endpoint(2))
            Endpoint.objects.update(paused=True)
            site.refresh()
            site.engine.go_on()
            until(lambda: any(answer.done() for answer in answers))
            time.sleep(0.5)
            assert len(site.engine.chats) == 1
            Endpoint.objects.update(paused=False)
            assert {answer.result(30).status_code for answer in answers} == {200}
        assert len(site.engine.chats) == 2


def test_who_waits_for_an_endpoint_that_is_switched_off_goes_elsewhere_at_once() -> None:
    with running(engines=2) as site, ThreadPoolExecutor(2) as executor:
        own = {"x-session-id": "own"}
        Endpoint.objects.filter(name="engine-0").update(max_concurrent=1)
        site.refresh()
        assert site.ask(headers=own).headers["x-roundhouse-endpoint"] == "engine-0"
        site.engine.script.append(Step(hang=True))
        runs = executor.submit(site.ask, headers=own)
        until(lambda: len(site.engine.chats) == 2)
        waits = executor.submit(site.ask, headers=own)
        until(lambda: wanted_of_an_endpoint(2))
        Endpoint.objects.filter(name="engine-0").update(enabled=False)
        assert waits.result(30).headers["x-roundhouse-endpoint"] == "engine-1"
        assert not runs.done()
        site.engine.go_on()
        assert runs.result(30).headers["x-roundhouse-endpoint"] == "engine-0"
        until(lambda: not Demand.objects.exists())


def test_who_left_the_queue_takes_no_place_in_it() -> None:
    with running() as site, ThreadPoolExecutor(2) as executor:
        Endpoint.objects.update(max_concurrent=1, max_queued=1)
        site.refresh()
        site.engine.script.append(Step(hang=True))
        first = executor.submit(site.ask)
        until(lambda: site.engine.chats)
        for number in (1, 2):
            until(lambda: wanted_of_an_endpoint(1))
            site.leave(lambda: wanted_of_an_endpoint(2))
            until(lambda: ResponseRecord.objects.filter(error_code="client_left").count() == number)  # noqa: B023
        until(lambda: wanted_of_an_endpoint(1))
        waits = executor.submit(site.ask)
        until(lambda: wanted_of_an_endpoint(2))
        site.engine.go_on()
        assert waits.result(30).status_code == 200
        assert first.result(30).status_code == 200


def test_a_process_that_ends_asks_for_nothing_any_more() -> None:
    with running() as site:
        limit_keys(site, requests_per_minute=1000)
        assert site.ask().status_code == 200
        until(Demand.objects.exists)
        site.server.stop()
        assert not Demand.objects.exists()


def test_a_key_has_so_many_requests_a_minute_over_all_processes() -> None:
    with running() as site, Site.another(site) as other:
        limit_keys(site, requests_per_minute=4)
        other.refresh()
        # A minute that ends in the middle would begin the count anew.
        until(lambda: time.time() % 60 < 40, seconds=60)
        answer = site.ask()
        assert answer.headers["x-ratelimit-limit-requests"] == "4"
        assert answer.headers["x-ratelimit-remaining-requests"] == "3"
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
        assert site.ask(stream=True).headers["x-ratelimit-remaining-requests"] == "2"
        until(lambda: Demand.objects.filter(subject__startswith="key", requests=2).exists())
        other.refresh()
        assert other.ask().headers["x-ratelimit-remaining-requests"] == "1"
        assert other.ask().headers["x-ratelimit-remaining-requests"] == "0"
        refused = other.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        limit_keys(site, requests_per_minute=None)
        assert "x-ratelimit-limit-requests" not in site.ask().headers


def test_a_key_has_so_many_requests_at_once() -> None:
    with running() as site:
        limit_keys(site, max_concurrent=2)
        site.engine.always = Step(hang=True)
        with asked(site, 2) as answers:
            until(lambda: len(site.engine.chats) == 2)
            refused = site.ask()
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            go_on(site)
            assert {answer.result(30).status_code for answer in answers} == {200}
        assert site.ask().status_code == 200


def test_a_profile_may_forbid_engines_to_fetch_what_callers_name() -> None:
    part = {"type": "input_image", "image_url": "http://169.254.169.254/latest/meta-data"}
    given = [{"role": "user", "content": [part]}]
    with running(remote_media_allowed=False) as site:
        refused = site.ask(given)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_media")
        assert not site.engine.chats
        assert (
            site.ask([{"role": "user", "content": [{**part, "image_url": "data:image/png;base64,AA=="}]}]).status_code
            == 200
        )
