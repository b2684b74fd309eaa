import logging

import pytest
from celery import Celery
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from controlplane.celery import app
from endpoints.models import Endpoint
from launcher import services
from launcher.models import Engine
from launcher.states import Desired, State
from tests.state.engines import make_engine

pytestmark = pytest.mark.django_db


def test_start_writes_the_wish_and_nudges_after_commit(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    engine = make_engine()
    with app.connection_for_read() as connection, connection.SimpleQueue("roundhouse") as queue:
        queue.clear()
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            assert services.start(engine, by="alice") is True
        assert len(callbacks) == 1
        message = queue.get(timeout=30)
        message.ack()
    assert message.headers["task"] == "launcher.reconcile_engine"
    assert message.payload[0] == [engine.pk]
    assert engine.desired_state == Desired.RUNNING
    row = Engine.objects.get()
    assert (row.desired_state, row.state) == (Desired.RUNNING, State.STOPPED)
    assert row.desired_at is not None


def test_a_wish_that_is_written_already_changes_nothing() -> None:
    engine = make_engine()
    assert services.stop(engine, by="alice") is False
    assert services.start(engine, by="alice") is True
    assert services.start(engine, by="bob") is False
    assert services.stop(engine, by="bob") is True
    assert services.stop(engine, by="bob") is False


def test_start_of_a_failed_engine_begins_its_count_anew() -> None:
    engine = make_engine(state=State.FAILED, desired_state=Desired.RUNNING, failures=6)
    assert services.start(engine, by="alice") is True
    assert Engine.objects.get().failures == 0
    assert services.start(engine, by="alice") is False


def test_settings_that_cannot_be_launched_are_refused_with_every_problem() -> None:
    engine = make_engine(vllm_serve_kwargs={"port": 1}, vllm_serve_env_vars={})
    with pytest.raises(services.EngineConfigError) as refused:
        services.start(engine, by="alice")
    assert len(refused.value.problems) == 5
    assert "tensor_parallel_size is missing" in str(refused.value)
    assert Engine.objects.get().desired_state == Desired.STOPPED


def test_a_broken_broker_does_not_break_a_wish(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    engine = make_engine()
    broken = Celery("broken", broker="redis://127.0.0.1:9/0", set_as_current=False)
    broken.set_current()
    try:
        with caplog.at_level(logging.WARNING), django_capture_on_commit_callbacks(execute=True):
            assert services.start(engine, by="alice") is True
    finally:
        app.set_current()
    assert "the broker took no message" in caplog.text
    assert Engine.objects.get().desired_state == Desired.RUNNING


def test_only_a_stopped_engine_is_deleted_and_its_endpoint_with_it() -> None:
    endpoint = Endpoint.objects.create(name="tiny", base_url="http://127.0.0.1:20000/v1")
    other = Endpoint.objects.create(name="other", base_url="http://127.0.0.1:20001/v1")
    engine = make_engine(endpoint=endpoint, desired_state=Desired.RUNNING)
    with pytest.raises(services.EngineBusyError, match="Stop it first"):
        services.delete(engine)
    Engine.objects.update(desired_state=Desired.STOPPED, state=State.FAILED)
    with pytest.raises(services.EngineBusyError):
        services.delete(engine)
    Engine.objects.update(state=State.STOPPED)
    services.delete(engine)
    assert not Engine.objects.exists()
    assert list(Endpoint.objects.all()) == [other]


def test_an_engine_is_deleted_though_its_endpoints_key_cannot_be_decrypted(settings: Settings) -> None:
    ours, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 8
    engine = make_engine(endpoint=Endpoint.objects.create(name="tiny", base_url="http://h/v1", api_key="secret"))
    settings.SECRET_KEY = ours
    services.delete(Engine.objects.get(pk=engine.pk))
    assert not Endpoint.objects.exists()


def test_a_wish_that_is_rolled_back_nudges_nobody(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    engine = make_engine()
    with django_capture_on_commit_callbacks(execute=True) as callbacks, transaction.atomic():
        services.start(engine, by="alice")
        transaction.set_rollback(True)
    assert callbacks == []
    assert Engine.objects.get().desired_state == Desired.STOPPED
