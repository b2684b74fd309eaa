import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from launcher import queries, transitions
from launcher.models import Engine, EngineEvent
from launcher.states import Desired, IllegalMoveError, State
from tests.state.engines import job_id, make_engine

NOW = timezone.now()


def claim(engine: Engine, *, base_url: str, api_key: str) -> bool:
    return transitions.claim(
        engine, base_url=base_url, api_key=api_key, placement={}, ray_host="", beside=queries.claims()
    )


@pytest.mark.django_db
def test_a_move_writes_the_row_and_one_event() -> None:
    engine = make_engine(failures=1)
    assert transitions.move(engine, State.PENDING, reason="It is wanted.", now=NOW) is True
    row = Engine.objects.get(pk=engine.pk)
    assert (row.state, row.state_reason, row.state_since, row.failures) == ("pending", "It is wanted.", NOW, 1)
    assert (engine.state, engine.state_since) == (State.PENDING, NOW)
    event = EngineEvent.objects.get()
    assert (event.engine_id, event.old, event.new, event.reason) == (engine.pk, "stopped", "pending", "It is wanted.")


@pytest.mark.django_db
def test_a_stale_belief_loses_quietly() -> None:
    engine, stale = make_engine(), Engine.objects.get()
    assert transitions.move(engine, State.PENDING, reason="first", now=NOW) is True
    assert transitions.move(stale, State.PENDING, reason="second", now=NOW) is False
    assert stale.state == State.STOPPED
    assert Engine.objects.get().state_reason == "first"
    assert EngineEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_belief_about_another_generation_is_stale_too() -> None:
    engine = make_engine(state=State.PENDING, desired_state=Desired.RUNNING)
    stale = Engine.objects.get()
    assert claim(engine, base_url="http://127.0.0.1:20000/v1", api_key="k") is True
    assert transitions.move(stale, State.STOPPED, reason="x", now=NOW) is False
    assert transitions.note(stale, phase="x") is False


@pytest.mark.django_db
def test_an_illegal_move_raises_and_changes_nothing() -> None:
    engine = make_engine()
    with pytest.raises(IllegalMoveError):
        transitions.move(engine, State.READY, reason="x", now=NOW)
    assert Engine.objects.get().state == State.STOPPED
    assert not EngineEvent.objects.exists()


@pytest.mark.django_db
def test_a_generation_is_claimed_once_and_only_if_wanted() -> None:
    engine = make_engine(state=State.PENDING)
    assert claim(engine, base_url="http://127.0.0.1:20000/v1", api_key="k") is False
    Engine.objects.update(desired_state=Desired.RUNNING)
    second = Engine.objects.get()
    assert claim(engine, base_url="http://127.0.0.1:20000/v1", api_key="secret") is True
    assert claim(second, base_url="http://127.0.0.1:20001/v1", api_key="other") is False
    assert claim(engine, base_url="http://127.0.0.1:20002/v1", api_key="third") is False
    row = Engine.objects.get()
    assert (row.generation, row.base_url, row.api_key) == (1, "http://127.0.0.1:20000/v1", "secret")
    assert engine.submission_id == job_id(engine, 1)


@pytest.mark.django_db
def test_a_claim_beside_others_than_were_looked_at_is_refused() -> None:
    first = make_engine("first", state=State.PENDING, desired_state=Desired.RUNNING)
    second = make_engine("second", state=State.PENDING, desired_state=Desired.RUNNING)
    placement = {"ranks": [["10.0.0.1"]], "size": 8, "local": 1}
    beside = queries.claims()
    told: dict[str, Any] = {"api_key": "k", "placement": placement, "ray_host": "", "beside": beside}
    assert transitions.claim(first, base_url="http://10.0.0.1:20000/v1", **told) is True
    assert transitions.claim(second, base_url="http://10.0.0.1:20001/v1", **told) is False
    assert queries.claims() == [queries.Claim(first.submission_id, "http://10.0.0.1:20000/v1", {"10.0.0.1": 8})]
    transitions.move(first, State.FAILED, reason="x", now=NOW)
    assert [each.gpus for each in queries.claims()] == [{}]


@pytest.mark.django_db
def test_the_key_is_encrypted_at_rest() -> None:
    engine = make_engine(state=State.PENDING, desired_state=Desired.RUNNING)
    claim(engine, base_url="http://127.0.0.1:20000/v1", api_key="secret-key")
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM launcher_engine")
        (stored,) = cursor.fetchone()
    assert "secret-key" not in stored


@pytest.mark.django_db
def test_an_attempt_is_forgotten_when_nothing_is_left_of_it() -> None:
    for new, kept in ((State.STOPPED, ""), (State.FAILED, "http://127.0.0.1:20000/v1")):
        engine = make_engine(new, state=State.STOPPING, base_url="http://127.0.0.1:20000/v1", api_key="k")
        assert transitions.move(engine, new, reason="x", now=NOW, failures=1, log_tail="last words")
        row = Engine.objects.get(pk=engine.pk)
        assert (row.base_url, bool(row.api_key), row.log_tail) == (kept, bool(kept), "last words")
    assert [event.log_tail for event in EngineEvent.objects.order_by("pk")] == ["", "last words"]


@pytest.mark.django_db
def test_a_note_is_written_when_it_is_news() -> None:
    engine = make_engine(state=State.STARTING)
    assert transitions.note(engine, phase="loading") is True
    assert transitions.note(engine, phase="loading") is False
    assert transitions.note(engine, phase="x" * 9999) is True
    assert Engine.objects.get().phase == "x" * 1000
    assert not EngineEvent.objects.exists()


@pytest.mark.django_db
def test_a_long_reason_fits_its_column() -> None:
    engine = make_engine()
    assert transitions.move(engine, State.PENDING, reason="x" * 5000, now=NOW)
    assert len(Engine.objects.get().state_reason) == 1000


@pytest.mark.django_db(transaction=True)
def test_a_race_has_one_winner_and_one_event() -> None:
    for number in range(10):
        engine = make_engine(f"engine-{number}")
        start = threading.Barrier(6)
        won: list[bool] = []

        def race(pk: int = engine.pk, start: threading.Barrier = start, won: list[bool] = won) -> None:
            row = Engine.objects.get(pk=pk)
            start.wait()
            won.append(transitions.move(row, State.PENDING, reason="x", now=NOW))
            connection.close()

        racers = [threading.Thread(target=race) for _ in range(6)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(won) == [False] * 5 + [True]
        assert engine.events.count() == 1
