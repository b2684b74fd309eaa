"""The tasks, called as a worker calls them, over the real Celery app and a Ray that is not there."""

from collections import Counter
from typing import Any

import pytest

from controlplane.celery import app
from launcher import places, services, tasks
from launcher.models import Engine
from launcher.states import Desired, State
from tests.state.engines import make_engine

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _ray_elsewhere(settings: Any) -> None:
    settings.RAY_ADDRESS = "http://127.0.0.1:9"  # nobody listens there, and nothing is started


def test_a_visit_goes_as_far_as_it_can_and_says_what_it_waits_for() -> None:
    engine = make_engine()
    services.start(engine, by="test")
    tasks.reconcile_engine(engine.pk)
    engine.refresh_from_db()
    assert engine.state == State.PENDING
    assert engine.phase.startswith("Ray does not answer")
    assert engine.generation == 0


def test_a_second_visitor_leaves_at_once() -> None:
    engine = make_engine(desired_state=Desired.RUNNING)
    with places.of_this_host().visit(engine.pk) as alone:
        assert alone
        tasks.reconcile_engine(engine.pk)
        assert Engine.objects.get().state == State.STOPPED
    tasks.reconcile_engine(engine.pk)
    assert Engine.objects.get().state == State.PENDING


def test_a_visit_to_an_engine_that_was_deleted_is_no_error() -> None:
    tasks.reconcile_engine(12345)


def test_a_round_sends_a_visitor_to_each_engine_that_needs_one_and_two_while_someone_waits() -> None:
    states = [
        (State.STOPPED, Desired.STOPPED),
        (State.STOPPED, Desired.RUNNING),
        (State.READY, Desired.RUNNING),
        (State.FAILED, Desired.STOPPED),
        (State.STARTING, Desired.RUNNING),
    ]
    engines = [make_engine(f"e{n}", state=state, desired_state=wish) for n, (state, wish) in enumerate(states)]
    with app.connection_for_read() as connection, connection.SimpleQueue("roundhouse") as queue:
        queue.clear()
        tasks.reconcile_all()
        sent = [queue.get(timeout=30) for _ in range(5)]
        for message in sent:
            message.ack()
        assert Counter(message.payload[0][0] for message in sent) == Counter(
            [*(engine.pk for engine in engines[1:]), engines[-1].pk]
        )
        assert [message.payload[0][0] for message in sent if message.headers["eta"]] == [engines[-1].pk]
        assert all(message.headers["expires"] for message in sent)
        assert queue.qsize() == 0
