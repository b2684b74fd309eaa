"""New sessions are spread as the profile wants."""

from collections import Counter

import pytest

from endpoints.models import Endpoint
from responses_api import loads
from responses_api.models import Session, SessionMove
from tests.fakes.scripted_vllm import ScriptedVllm
from tests.web.gateway_server import Site, register, running

pytestmark = pytest.mark.django_db(transaction=True)


def served(site: Site, sessions: range) -> Counter[str]:
    """Return how many of these sessions each engine serves."""
    return Counter(
        site.ask(headers={"x-session-id": f"s{number}"}).headers["x-roundhouse-endpoint"] for number in sessions
    )


def test_weights_are_exact_over_two_processes_and_take_effect_at_once() -> None:
    with running(engines=2) as site, Site.another(site) as other:
        Endpoint.objects.filter(name="engine-1").update(weight=3)
        site.refresh()
        other.refresh()
        assert served(site, range(8)) + served(other, range(8, 20)) == {"engine-0": 5, "engine-1": 15}


@pytest.fixture
def one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are asked once how much they have to do, and may take their time to say it."""
    monkeypatch.setattr(loads, "READ_SECONDS", 600)
    monkeypatch.setattr(loads, "PATIENCE_SECONDS", 60)


@pytest.mark.usefixtures("one_reading")
def test_new_sessions_go_where_the_fewest_requests_are() -> None:
    with running(engines=3, balancing="least_loaded") as site:
        site.engines[0].running_now = 5
        site.engines[1].running_now = 2
        assert served(site, range(2)) == {"engine-2": 2}
        # Now they are level, by the sessions that were bound since the engines said how much they have to do.
        assert served(site, range(2, 4)) <= Counter({"engine-1": 1, "engine-2": 1})


@pytest.mark.usefixtures("one_reading")
def test_an_engine_that_does_not_say_how_much_it_has_to_do_means_turns() -> None:
    with running(engines=2, balancing="least_loaded") as site:
        site.engines[0].running_now = 5
        site.engines[1].kill()
        assert served(site, range(2)) == {"engine-0": 2}
        assert SessionMove.objects.get().old_endpoint == "engine-1"  # where it was bound first


def test_a_key_falls_to_the_same_engine_again_and_a_new_engine_moves_nobody() -> None:
    keys = range(40)  # so many that some fall to the third, whatever the ids of the three are
    with running(engines=2, balancing="session_hash") as site, ScriptedVllm() as third:
        first = {number: served(site, range(number, number + 1)) for number in keys}
        site.profile.endpoints.add(register(third, "engine-2"))
        site.refresh()
        assert {number: served(site, range(number, number + 1)) for number in keys} == first
        Session.objects.all().delete()
        site.server.stop()
        site.server.start()
        again = {number: served(site, range(number, number + 1)) for number in keys}
        assert {engine for number in again for engine in again[number] if again[number] != first[number]} == {
            "engine-2"
        }
