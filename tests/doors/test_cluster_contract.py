"""What every cluster must do: run for the fake and for a real Ray head on this machine."""

import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import processes
from launcher.cluster import Cluster, Job, JobSpec, JobState, JobView, LogPart
from launcher.places import Places
from launcher.ray_cluster import RayCluster
from launcher.ray_head import LocalHead
from tests.fakes.cluster import FakeCluster

MARK = "ROUNDHOUSE_ENGINE"


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    cluster = FakeCluster(tmp_path_factory.mktemp("fake"))
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    folder = tmp_path_factory.mktemp("ray")
    where = Places(root=folder, logs=folder / "logs")
    cluster = RayCluster("", LocalHead(folder, where))
    yield cluster
    cluster.shutdown()
    shutil.rmtree(where.temp, ignore_errors=True)  # what the reconciler removes with an attempt


@pytest.fixture(params=["fake", "ray"])
def unstarted(request: pytest.FixtureRequest) -> Cluster:
    cluster: Cluster = request.getfixturevalue(request.param)
    return cluster


@pytest.fixture
def cluster(unstarted: Cluster) -> Cluster:
    wait_for(lambda: is_up(unstarted))
    return unstarted


def is_up(cluster: Cluster) -> bool:
    from launcher.cluster import ClusterStartingError

    try:
        cluster.ensure()
    except ClusterStartingError:
        return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def spec(*argv: str, **env: str) -> JobSpec:
    return JobSpec(f"engine-{uuid.uuid4().hex[:8]}-1", argv, env)


def end_of(cluster: Cluster, job: JobSpec) -> JobView:
    wait_for(lambda: not cluster.view(job.submission_id).state.active)
    return cluster.view(job.submission_id)


def python(code: str, **env: str) -> JobSpec:
    return spec(sys.executable, "-c", code, **env)


def test_a_local_cluster_that_does_not_run_has_nothing(unstarted: Cluster) -> None:
    if unstarted.local and not unstarted.nodes():  # the first test of the module to come by
        assert unstarted.view("engine-1-1").state == JobState.GONE
        assert unstarted.log("engine-1-1") == ""
        unstarted.stop("engine-1-1")
        unstarted.shutdown()


def test_it_has_one_head(cluster: Cluster) -> None:
    cluster.ensure()
    assert [node.is_head for node in cluster.nodes()] == [True]
    assert cluster.nodes()[0].gpus >= 0


def test_an_unknown_job_is_gone(cluster: Cluster) -> None:
    assert cluster.view("engine-77-1").state == JobState.GONE
    assert cluster.log("engine-77-1") == ""
    assert cluster.log_after("engine-77-1", 0) is None
    cluster.stop("engine-77-1")


def test_a_job_runs_with_its_environment_and_its_log_is_kept(cluster: Cluster) -> None:
    job = python("import os; print('hello', os.environ['X']); print('bye', flush=True)", X="a b $ '\"")
    assert cluster.submit(job) is True
    assert end_of(cluster, job) == JobView(JobState.SUCCEEDED, cluster.view(job.submission_id).message, 0)
    log = cluster.log(job.submission_id)
    assert "hello a b $ '\"\nbye\n" in log
    part = cluster.log_after(job.submission_id, 0)
    assert part == LogPart(log, 0, len(log))
    assert cluster.log_after(job.submission_id, part.place - 4) == LogPart("bye\n", part.place - 4, part.place)
    assert cluster.log_after(job.submission_id, part.place) == LogPart("", part.place, part.place)


def test_a_jobs_secrets_are_in_its_environment(cluster: Cluster) -> None:
    job = replace(python("import os; print(os.environ['X'], os.environ['Y'])", X="a"), secrets={"Y": "b $ '\"\n"})
    cluster.submit(job)
    assert end_of(cluster, job).state == JobState.SUCCEEDED
    assert "a b $ '\"\n" in cluster.log(job.submission_id)


@pytest.mark.parametrize("word", ["a b", "it's", '"', "$HOME", "a\nb", "*", "", "é", '--x={"a": 1}', "`id`;exit 1"])
def test_arguments_arrive_as_they_were_given(cluster: Cluster, word: str) -> None:
    job = spec(sys.executable, "-c", "import sys; print(repr(sys.argv[1:]))", word)
    cluster.submit(job)
    end_of(cluster, job)
    assert repr([word]) in cluster.log(job.submission_id)


def test_an_exit_code_is_reported(cluster: Cluster) -> None:
    job = python("import sys; print('no luck'); sys.exit(3)")
    cluster.submit(job)
    ended = end_of(cluster, job)
    assert (ended.state, ended.exit_code) == (JobState.FAILED, 3)


def test_a_killed_process_is_reported(cluster: Cluster) -> None:
    job = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    cluster.submit(job)
    ended = end_of(cluster, job)
    assert (ended.state, ended.exit_code) == (JobState.FAILED, -9)


def test_a_missing_interpreter_is_reported(cluster: Cluster) -> None:
    job = spec("/nowhere/python", "-c", "1")
    cluster.submit(job)
    ended = end_of(cluster, job)
    assert ended.state == JobState.FAILED
    assert "not found" in cluster.log(job.submission_id)


def test_a_job_of_one_id_runs_once(cluster: Cluster, tmp_path: Path) -> None:
    job = python(f"open({str(tmp_path / 'runs')!r}, 'a').write('x')")
    assert cluster.submit(job) is True
    assert cluster.submit(job) is False
    end_of(cluster, job)
    assert cluster.submit(job) is False
    assert (tmp_path / "runs").read_text() == "x"


def test_jobs_are_listed_while_they_run_and_after(cluster: Cluster) -> None:
    job = python("print('hello')")
    cluster.submit(job)
    ended = end_of(cluster, job)
    assert Job(job.submission_id, ended.state) in cluster.jobs()


def test_a_stopped_job_ends_and_says_so(cluster: Cluster) -> None:
    mark = uuid.uuid4().hex
    job = python("import time; print('up', flush=True); time.sleep(600)", **processes.environment(MARK, mark))
    cluster.submit(job)
    wait_for(lambda: "up\n" in cluster.log(job.submission_id))
    assert cluster.view(job.submission_id).state == JobState.RUNNING
    assert processes.marked(MARK, mark)
    cluster.stop(job.submission_id)
    assert end_of(cluster, job).state == JobState.STOPPED
    assert processes.wait_until_gone(MARK, mark, seconds=60) == []
    cluster.stop(job.submission_id)
    assert cluster.view(job.submission_id).state == JobState.STOPPED


def test_a_job_that_ignores_a_polite_stop_ends_too(cluster: Cluster) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    job = python(code)
    cluster.submit(job)
    wait_for(lambda: "up\n" in cluster.log(job.submission_id))
    cluster.stop(job.submission_id)
    assert end_of(cluster, job).state == JobState.STOPPED


def test_the_tools_beside_the_interpreter_are_found_first(cluster: Cluster, tmp_path: Path) -> None:
    tool = tmp_path / "ninja"
    tool.write_text("#!/bin/sh\necho ours\n")
    tool.chmod(0o755)
    shell = tmp_path / "sh"
    shell.symlink_to("/bin/sh")
    job = spec(str(shell), "-c", "ninja")
    cluster.submit(job)
    end_of(cluster, job)
    assert "ours\n" in cluster.log(job.submission_id)


def test_a_job_is_not_told_what_the_control_plane_knows(ray: RayCluster) -> None:
    wait_for(lambda: is_up(ray))
    assert "ROUNDHOUSE_DATA_DIR" in os.environ
    job = python("import os; print(sorted(os.environ))")
    ray.submit(job)
    end_of(ray, job)
    seen = ray.log(job.submission_id)
    assert "PATH" in seen
    assert "ROUNDHOUSE_DATA_DIR" not in seen
    assert "DJANGO_SETTINGS_MODULE" not in seen


def test_after_a_shutdown_nothing_is_left_and_it_can_begin_again(cluster: Cluster) -> None:
    mark = uuid.uuid4().hex
    job = python("import time; time.sleep(600)", **processes.environment(MARK, mark))
    cluster.submit(job)
    wait_for(lambda: processes.marked(MARK, mark) != [])
    cluster.shutdown()
    assert processes.marked(MARK, mark) == []
    assert cluster.nodes() == []
    assert cluster.view(job.submission_id).state == JobState.GONE
    cluster.shutdown()
    wait_for(lambda: is_up(cluster))
    assert cluster.view(job.submission_id).state == JobState.GONE
    assert cluster.submit(job) is True
    cluster.stop(job.submission_id)
