"""The WebSocket of /v1/responses: turns, what a connection remembers, faults, and its end."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.test import override_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from endpoints.models import ApiKey
from responses_api.consumers import websocket
from responses_api.models import ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running, until
from tests.web.sockets import SECONDS, socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def text_of(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def close_code(connection: Any) -> int:
    """Return the code with which the server closes the connection."""
    with suppress(ConnectionClosed):
        while connection.recv(SECONDS):
            pass
    return int(connection.close_code)


def test_turns_are_answered_one_after_another_in_one_session(site: Site) -> None:
    with socket(site) as mine:
        mine.say("one two")
        mine.say("three")
        assert [event["delta"] for event in mine.turn() if "delta" in event] == ["echo:", " one", " two"]
        assert text_of(mine.turn()[-1]["response"]) == "echo: three"
        assert text_of(mine.ask("four")) == "echo: four"
    rows = [*ResponseRecord.objects.values_list("api", "status", "http_status", "empty_cause")]
    assert rows == [("responses", "completed", 200, "")] * 3
    assert Session.objects.get().requests == 3


def test_headers_of_the_upgrade_name_the_session(site: Site) -> None:
    with socket(site, x_session_id="mine") as first:
        first.ask()
    with socket(site, session_id="thread-1", openai_beta="responses_websockets=2026-02-06") as second:
        second.ask(stream=True)
    assert {*Session.objects.values_list("key", flat=True)} == {"mine", "thread-1"}


def test_a_response_that_is_not_stored_can_be_continued(site: Site) -> None:
    with socket(site) as mine:
        first = mine.ask("My name is Ada.", store=False)
        second = mine.ask("And yours?", store=False, previous_response_id=first["id"])
        assert second["previous_response_id"] == first["id"]
        mine.ask([{"role": "user", "content": "Bye"}], store=False, previous_response_id=second["id"])
        said = [(message["role"], message["content"]) for message in site.engine.chats[-1]["messages"]]
        assert [role for role, _ in said] == ["user", "assistant", "user", "assistant", "user"]
        assert said[1] == ("assistant", text_of(first))
        assert (
            mine.refused(store=False, previous_response_id=first["id"])["error"]["code"]
            == "previous_response_not_found"
        )
    with socket(site) as another:
        refused = another.refused(store=False, previous_response_id=second["id"])
        assert (refused["status"], refused["error"]["param"]) == (404, "previous_response_id")


def test_a_continuation_that_fails_forgets_what_it_continued(site: Site) -> None:
    orphan = [{"type": "function_call_output", "call_id": "call_nobody_made", "output": "rain"}]
    fails: list[tuple[Any, Step | None]] = [(orphan, None), ("hi", Step(status=500, body={"error": {"message": "no"}}))]
    with socket(site) as mine:
        for given, step in fails:
            first = mine.ask("Remember.", store=False)
            site.engine.script.extend([step] if step else [])
            mine.refused(given, store=False, previous_response_id=first["id"])
            again = mine.refused("hi", store=False, previous_response_id=first["id"])
            assert again["error"]["code"] == "previous_response_not_found"
        first = mine.ask("Remember.", store=False)
        site.engine.script.append(Step(break_off="middle"))
        mine.say("hi", store=False, previous_response_id=first["id"])
        assert mine.turn()[-1]["type"] == "response.failed"
        assert mine.refused(store=False, previous_response_id=first["id"])["status"] == 404


def test_a_stored_response_is_continued_on_any_connection_with_all_that_was_said_before(site: Site) -> None:
    with socket(site) as mine:
        prepared = mine.ask("Be brief.", generate=False, store=False)
        unstored = mine.ask("My name is Ada.", store=False, previous_response_id=prepared["id"])
        stored = mine.ask("And yours?", previous_response_id=unstored["id"])
        assert stored["previous_response_id"] == unstored["id"]
        last = mine.ask("Good.", previous_response_id=stored["id"])
        assert mine.refused([{"type": "nonsense"}], previous_response_id=last["id"])["status"] == 400
        mine.ask("Still there?", previous_response_id=last["id"])
    with socket(site) as another:
        another.ask("Bye.", previous_response_id=last["id"])
        assert another.refused(previous_response_id=unstored["id"])["error"]["code"] == "previous_response_not_found"
        empty = another.ask("Be brief.", generate=False)
    with site.client() as client:
        answer = client.post("/responses", json={"model": "tiny", "input": "hi", "previous_response_id": empty["id"]})
    assert answer.status_code == 200
    assert [message["content"][0]["text"] for message in site.engine.chats[-1]["messages"]] == ["Be brief.", "hi"]
    roles = [[message["role"][0] for message in chat["messages"]] for chat in site.engine.chats]
    assert ["".join(each) for each in roles] == ["uu", "uuau", "uuauau", "uuauauau", "uuauauau", "uu"]


def test_a_turn_that_only_prepares_asks_no_engine(site: Site) -> None:
    with socket(site) as mine:
        mine.say("Remember.", generate=False, store=False)
        events = mine.turn()
        assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.completed"]
        assert site.engine.chats == []
        prepared = events[-1]["response"]
        assert prepared["output"] == []
        mine.ask("Now speak.", store=False, previous_response_id=prepared["id"])
        assert [message["role"] for message in site.engine.chats[0]["messages"]] == ["user", "user"]
        assert mine.refused([{"type": "nonsense"}], generate=False)["status"] == 400
    assert not ResponseRecord.objects.exclude(empty_cause="").exists()


REFUSED: list[tuple[str, int, str | None]] = [
    ("{", 400, None),
    ("[]", 400, None),
    ('{"type": "response.cancel"}', 400, "type"),
    ('{"model": "tiny", "input": "hi"}', 400, "type"),
    ('{"type": "response.create", "input": "hi"}', 400, "model"),
    ('{"type": "response.create", "model": "nope", "input": "hi"}', 404, "model"),
    ('{"type": "response.create", "model": "tiny", "input": "hi", "stream": true}', 400, "stream"),
    ('{"type": "response.create", "model": "tiny", "input": "hi", "stream_options": {}}', 400, "stream_options"),
    ('{"type": "response.create", "model": "tiny", "input": "hi", "background": true}', 400, "background"),
    ('{"type": "response.create", "model": "tiny", "input": "hi", "generate": "no"}', 400, "generate"),
    (
        '{"type": "response.create", "model": "tiny", "input": "hi", "previous_response_id": 1}',
        400,
        "previous_response_id",
    ),
]


def test_what_cannot_be_served_is_refused_in_one_envelope_and_the_connection_goes_on(site: Site) -> None:
    with socket(site) as mine:
        for message, status, param in REFUSED:
            mine.connection.send(message)
            (envelope,) = mine.turn()
            assert (envelope["status"], envelope["error"]["param"]) == (status, param), message
        site.engine.script.append(Step(status=429, body={"error": {"message": "slow down"}}))
        assert mine.refused()["status"] == 429
        mine.connection.send(b'{"type": "response.create", "model": "tiny", "input": "in bytes"}')
        assert text_of(mine.turn()[-1]["response"]) == "echo: in bytes"


def test_a_prompt_that_does_not_fit_is_an_empty_answer(site: Site) -> None:
    with socket(site) as mine:
        response = mine.ask("word " * 3000)
        assert (response["status"], text_of(response)) == ("incomplete", "")


@pytest.mark.parametrize(("key", "status"), [("", 401), ("Bearer wrong", 401), ("Bearer {control}", 403)])
def test_a_bad_key_is_refused_before_the_connection_opens(
    site: Site, key: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    _, control = ApiKey.issue(name="control", scope_gateway=False)
    site.refresh()
    headers = {"authorization": key.format(control=control)} if key else {}
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://127.0.0.1:{site.server.port}/v1/responses", additional_headers=headers, proxy=None),
    ):
        pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["type"] == "invalid_request_error"
    site.server.stop()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_other_paths_are_refused(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{site.server.port}/v1/models", proxy=None):
        pass
    assert refused.value.response.status_code == 403


def test_a_key_that_is_disabled_ends_the_turns_of_an_open_connection(site: Site) -> None:
    with socket(site) as mine:
        mine.ask()
        site.caller.enabled = False
        site.caller.save(update_fields=["enabled"])
        until(lambda: "response" not in (said := _once(mine)) and said["status"] == 401)


def _once(mine: Any) -> dict[str, Any]:
    mine.say()
    last: dict[str, Any] = mine.turn()[-1]
    return last


def test_a_client_who_leaves_stops_the_engine(site: Site) -> None:
    site.engine.script.append(Step(stall=True))
    with socket(site) as mine:
        mine.say("a b c d")
        while mine.hear()["type"] != "response.output_text.delta":
            pass
    until(lambda: site.engine.requests[0].client_left, seconds=10)
    row = until(ResponseRecord.objects.first)
    assert (row.status, row.error_code, row.http_status) == ("failed", "client_left", 499)


def test_a_connection_that_breaks_off_stops_the_engine(site: Site) -> None:
    site.engine.script.append(Step(hang=True))
    with socket(site) as mine:
        mine.say()
        until(lambda: site.engine.requests)
        mine.connection.socket.shutdown(2)
        until(lambda: site.engine.requests[0].client_left, seconds=10)


def test_a_slow_reader_slows_the_engine_and_loses_nothing(site: Site) -> None:
    events = [{"choices": [{"index": 0, "delta": {"content": "x" * 20_000}}]}] * 1000
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    site.engine.script.append(Step(events=[*events, finish, "data: [DONE]\n\n"]))
    with socket(site, compression=None) as mine:
        mine.say()
        until(lambda: site.engine.requests)
        sent = until(lambda: _standing(site))
        assert 0 < sent < 1000
        deltas = [event for event in mine.turn() if event["type"] == "response.output_text.delta"]
    assert len(deltas) == 1000


def _standing(site: Site) -> int:
    """Return how much the engine has sent if it sends no more: it stands still for 0.3 seconds."""
    before = site.engine.requests[0].sent
    time.sleep(0.3)
    return before if site.engine.requests[0].sent == before else 0


def test_a_connection_lives_for_so_long(site: Site) -> None:
    with override_settings(WEBSOCKET_SECONDS=2), socket(site) as mine:
        site.engine.always = Step(gap=0.5)
        assert mine.ask("a turn is not cut off")["status"] == "completed"
        (envelope,) = mine.turn()
        assert (envelope["status"], envelope["error"]["code"]) == (400, "websocket_connection_limit_reached")
        assert close_code(mine.connection) == 1000


@pytest.mark.parametrize(("messages", "size"), [(64, 64 * 2**20), (10_000, 2_000)])
def test_whoever_sends_without_listening_is_cut_off(
    site: Site, messages: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_WAITING", messages)
    monkeypatch.setattr(websocket, "MAX_WAITING_BYTES", size)
    site.engine.always = Step(hang=True)
    with socket(site) as mine:
        mine.say()
        until(lambda: site.engine.requests)
        with suppress(ConnectionClosed):  # the server need not wait for the last of them
            for _ in range(70):
                mine.say()
        assert close_code(mine.connection) == 1008
    until(lambda: site.engine.requests[0].client_left)


def test_a_message_that_is_too_large_ends_the_connection(site: Site) -> None:
    with socket(site) as mine:
        with suppress(ConnectionClosed):  # the server closes as soon as it has seen the length
            mine.connection.send("x" * (17 * 2**20))  # Uvicorn takes 16 MiB unless it is told otherwise
        assert close_code(mine.connection) == 1009


def test_a_server_that_stops_says_so(site: Site) -> None:
    site.engine.always = Step(stall=True)
    with socket(site) as mine:
        mine.say("a b c d")
        mine.hear()
        site.server.begin_stop()
        assert close_code(mine.connection) in {1001, 1012}
    site.server.stop()
    until(lambda: site.engine.requests[0].client_left)
    assert ResponseRecord.objects.count() == 1
