"""The logs of attempts: whole, searched, followed, and which attempt failed of what."""

from datetime import timedelta

import pytest
from django.utils import timezone

from launcher import logs, places, reconcile, services
from launcher.cluster import SubmitError
from launcher.models import Engine
from launcher.states import State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import drive, ready, wanted
from tests.state.engines import make_engine as make

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_attempt_is_listed_with_its_first_cause(cluster: FakeCluster) -> None:
    engine = wanted(make(env={"FAKE_LOG": "RuntimeError: first\\nRuntimeError: then", "FAKE_EXIT": "1"}))
    engine = drive(engine, cluster, until=State.FAILED)
    services.stop(engine, by="test")
    drive(engine, cluster, until=State.STOPPED)
    Engine.objects.update(vllm_serve_env_vars={"VLLM_RAY_DP_PACK_STRATEGY": "strict"})
    services.start(Engine.objects.get(), by="test")
    engine = drive(engine, cluster, until=State.READY)
    second, first = logs.attempts(engine)
    assert (first.attempt, first.outcome) == (1, "failed")
    assert first.cause == "The process ended with exit code 1. RuntimeError: first"
    assert first.started_at is not None
    assert first.ended_at is not None
    assert first.ended_at >= first.started_at
    assert first.log_bytes == places.of_this_host().log("tiny", 1).stat().st_size
    assert (second.attempt, second.outcome, second.cause, second.ended_at) == (2, "ready", "", None)
    assert "RuntimeError: then" in logs.reader(engine, 1, cluster).read()


def test_a_new_engine_has_nothing_of_one_that_had_its_name(cluster: FakeCluster) -> None:
    where, old = places.of_this_host(), make()
    where.save_log("tiny", 1, "RuntimeError: old")
    services.delete(old)
    assert not where.log("tiny", 1).parent.exists()

    for generation in (1, 2):  # it was deleted on another host
        where.save_log("tiny", generation, "RuntimeError: old")
    engine = wanted(make(env={"FAKE_LOG": "RuntimeError: new", "FAKE_EXIT": "1"}))
    drive(engine, cluster, until=lambda row: row.generation == 1)
    assert where.saved_log("tiny", 2) == ""
    engine = drive(engine, cluster, until=State.FAILED)
    assert "new" in engine.log_tail
    assert "old" not in engine.log_tail + engine.state_reason


def test_a_running_log_is_read_without_its_secrets(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_LOG": "one\\nTwo"})
    reader = logs.reader(engine, 1, cluster)
    assert reader.read() == "started with key [redacted]\none\nTwo\n"
    assert logs.matching(reader.read(), "TWO") == "Two\n"
    assert reader.running()
    cluster.silent = True
    assert reader.running()  # nobody knows better
    cluster.silent = False
    services.stop(engine, by="test")
    drive(engine, cluster, until=State.STOPPED)
    assert not reader.running()
    assert logs.reader(Engine.objects.get(), 1, cluster).read() == "started with key [redacted]\none\nTwo\n"


def test_what_a_cluster_says_of_a_job_is_shown_without_its_secrets(cluster: FakeCluster) -> None:
    def refuse() -> None:
        (job,) = cluster.specs.values()
        raise SubmitError(f"Ray did not take the job: {job.secrets}")

    cluster.after_submit = refuse
    engine = drive(wanted(make()), cluster, until=State.FAILED)
    said = "It could not be launched: Ray did not take the job: {'VLLM_API_KEY': '[redacted]'}"
    assert engine.state_reason == said
    assert engine.events.get(new=State.FAILED).reason == said


def test_the_log_of_an_engine_that_serves_is_kept_every_minute(cluster: FakeCluster) -> None:
    engine = ready(cluster)
    (job,) = cluster.jobs_by_id.values()
    with job.log.open("a") as file:
        file.write(f"three {engine.api_key}\n")
    where, now = places.of_this_host(), timezone.now()
    reconcile.reconcile_engine(engine.pk, cluster, now=now)
    assert "three" not in where.saved_log("tiny", 1)
    reconcile.reconcile_engine(engine.pk, cluster, now=now + timedelta(seconds=90))
    assert where.saved_log("tiny", 1).endswith("three [redacted]\n")


def test_a_log_is_read_on_where_the_cluster_forgets_it(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_LOG": "one\\ntwo"})
    cursor = logs.Cursor(logs.reader(engine, 1, cluster))
    assert cursor.more(last=False) == "started with key [redacted]\none\ntwo\n"
    assert cursor.more(last=False) == ""
    (job,) = cluster.jobs_by_id.values()
    with job.log.open("a") as file:
        file.write(f"three {engine.api_key}\nfour")
    assert cursor.more(last=False) == "three [redacted]\n"
    services.stop(engine, by="test")
    drive(engine, cluster, until=State.STOPPED)
    cluster.jobs_by_id.clear()
    assert cursor.more(last=True) == "four"
    assert cursor.more(last=True) == ""


def test_a_log_that_nobody_has_any_more_leaves_what_was_read(cluster: FakeCluster) -> None:
    engine = ready(cluster, env={"FAKE_LOG": "one"})
    cursor = logs.Cursor(logs.reader(engine, 1, cluster))
    assert cursor.more(last=False).endswith("one\n")
    job_id, job = cluster.jobs_by_id.popitem()
    places.of_this_host().log("tiny", 1).unlink()
    assert (cursor.more(last=True), cursor.anew) == ("", False)
    cluster.jobs_by_id[job_id] = job
    with job.log.open("a") as file:
        file.write("two\n")
    assert cursor.more(last=False) == "two\n"


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\nb\n", "b\n"),
        ("a\nb\n", "a\nb\n", ""),
        ("x" * 300 + "\nend\n", "x" * 450 + "\nend\nmore\n", "more\n"),
        ("gone", "all is new", "all is new"),
    ],
)
def test_what_stands_behind_a_piece(before: str, now: str, new: str) -> None:
    assert logs.added(before, now) == new


async def test_a_log_is_followed_to_its_end() -> None:
    parts = iter(["a\nb\n", "c\n", "", "", "d", ""])
    states = iter([True, True, False])
    found = [each async for each in logs.follow(lambda _last: next(parts), lambda: next(states), "", seconds=0)]
    assert found == ["a\nb\n", "c\n", "d"]
