"""The other server: what Daphne serves is what Uvicorn serves, faults included."""

import shutil
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from launcher import places
from responses_api.models import ResponseRecord
from tests.fakes.scripted_vllm import Step
from tests.web.daphne_server import on_daphne
from tests.web.gateway_server import Site, until
from tests.web.live_log import launched, session_of, watching, write
from tests.web.sockets import socket
from tests.web.streams import ask as ask_stream
from tests.web.surfaces import make_user
from tests.web.test_gateway_stream_faults import FAULTS, leave

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    env = {"ROUNDHOUSE_HEARTBEAT_SECONDS": "0.2", "ROUNDHOUSE_STALL_SECONDS": "4"}
    with on_daphne(env=env, request_timeout_seconds=60) as started:
        yield started


def test_it_answers_and_notices_a_caller_who_leaves(site: Site) -> None:
    assert site.ask("hello").json()["output"][0]["content"][0]["text"] == "echo: hello"
    assert site.ask(prompt={"id": "pmpt_1"}).json()["error"]["param"] == "prompt"
    site.engine.script.append(Step(hang=True))
    site.leave(lambda: len(site.engine.chats) == 2)
    until(lambda: site.engine.requests[-1].client_left)


def test_it_streams_and_every_fault_ends_a_stream_politely(site: Site) -> None:
    assert ask_stream(site, "hello").deltas == ["echo:", " hello"]
    for step, code, message in FAULTS:
        site.engine.script.append(step)
        last = ask_stream(site).last
        expected = "sent nothing for 4 seconds" if step.stall else message
        assert (last["status"], expected in last["error"]["message"]) == ("failed", True), last["error"]
        assert ResponseRecord.objects.filter(error_code=code, detail__contains=expected).exists()
    site.engine.script.append(Step(gap=0.5))
    kinds = [event["type"] for event in ask_stream(site, "hello").events]
    assert kinds.count("response.in_progress") > 2
    site.engine.script.append(Step(stall=True))
    leave(site, after=b"output_text.delta")
    left = time.monotonic()
    until(lambda: site.engine.requests[-1].client_left)
    assert time.monotonic() - left < 3
    until(lambda: ResponseRecord.objects.filter(error_code="client_left").exists())


def test_it_speaks_over_websockets(site: Site) -> None:
    with socket(site) as mine:
        first = mine.ask("hello", store=False)
        second = mine.ask("there", store=False, previous_response_id=first["id"])
        assert second["status"] == "completed"
        site.engine.script.append(Step(break_off="middle"))
        mine.say()
        assert mine.turn()[-1]["type"] == "response.failed"
        assert mine.refused(background=True)["error"]["param"] == "background"
        site.engine.script.append(Step(stall=True))
        mine.say("a b c d")
        while mine.hear()["type"] != "response.output_text.delta":
            pass
    left = time.monotonic()
    until(lambda: site.engine.requests[-1].client_left)
    assert time.monotonic() - left < 3
    site.key = "wrong"
    with pytest.raises(InvalidStatus) as refused, socket(site):
        pass
    assert refused.value.response.status_code == 403  # Daphne can say nothing else
    _follows_a_log(site.server.port)


def _follows_a_log(port: int) -> None:
    engine, session = launched(), session_of(make_user("ann", permissions=["launcher.view_engine"]))
    write(engine, "one\n")
    with watching(port, engine, session) as page:
        page.sees("one\n")
        write(engine, "two\n")
        page.sees("one\ntwo\n")
    with pytest.raises(InvalidStatus), watching(port, engine, session, origin="http://evil.example"):
        pass
    shutil.rmtree(places.of_this_host().temp)
