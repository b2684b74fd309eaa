"""Rows as Ray 2.60 lists them, shortened."""

from typing import Any

import pytest

from launcher import ray_state
from launcher.cluster import Job, JobState, Node


def node(name: str, gpus: float | None = 8.0, **changes: Any) -> dict[str, Any]:
    resources = {"CPU": 2.0} | ({} if gpus is None else {"GPU": gpus})
    known = {"node_id": name, "node_ip": f"ip-{name}", "is_head_node": name == "a", "state": "ALIVE"}
    return {**known, "resources_total": resources, **changes}


def group(*where: str | None, job: str = "03000000", state: str = "CREATED", gpus: float = 1.0) -> dict[str, Any]:
    bundles = [{"node_id": name, "unit_resources": {"GPU": gpus, f"node:ip-{name}": 0.001}} for name in where]
    return {
        "creator_job_id": job,
        "state": state,
        "bundles": [*bundles, {"node_id": "a", "unit_resources": {"CPU": 1}}],
    }


def actor(name: str, gpus: float, **changes: Any) -> dict[str, Any]:
    known = {"node_id": name, "job_id": "03000000", "state": "ALIVE", "placement_group_id": None}
    return {**known, "required_resources": {"GPU": gpus} if gpus else {}, **changes}


def task(name: str | None, gpus: float, **changes: Any) -> dict[str, Any]:
    known = {
        "node_id": name,
        "job_id": "03000000",
        "state": "RUNNING",
        "type": "NORMAL_TASK",
        "placement_group_id": None,
    }
    return {**known, "required_resources": {"CPU": 1.0} | ({"GPU": gpus} if gpus else {}), **changes}


JOBS: list[dict[str, Any]] = [
    {"job_id": "03000000", "submission_id": "engine-1-1-x", "status": "RUNNING"},
    {"job_id": None, "submission_id": "engine-2-1-x", "status": "PENDING"},
    {"job_id": "04000000", "submission_id": None, "status": "RUNNING"},
]


@pytest.mark.parametrize(
    ("groups", "actors", "held"),
    [
        ([], [], {}),
        ([group("a", "a")], [], {"engine-1-1-x": 2}),
        ([group("a", "b")], [], {"engine-1-1-x": 1}),
        ([group("a", job="04000000")], [], {"": 1}),
        ([group("a", job="77")], [], {"": 1}),
        ([group("a", state="REMOVED"), group(None, state="PENDING")], [], {}),
        ([group("a", state="RESCHEDULING")], [], {"engine-1-1-x": 1}),
        ([{"creator_job_id": "1", "state": "CREATED", "bundles": None}], [], {}),
        ([], [actor("a", 2)], {"engine-1-1-x": 2}),
        ([], [actor("a", 0), actor("a", 1, placement_group_id="g"), actor("a", 1, state="DEAD")], {}),
        ([], [actor("a", 0.5, job_id="04000000")], {"": 1}),
        ([group("a")], [actor("a", 0.25), actor("a", 0.25)], {"engine-1-1-x": 2}),
    ],
)
def test_what_is_given_away(groups: list[Any], actors: list[Any], held: dict[str, int]) -> None:
    found = ray_state.nodes([node("a"), node("b", None)], JOBS, groups=groups, actors=actors)
    assert found[0] == Node("ip-a", True, 8, held)
    assert (found[1].address, found[1].is_head, found[1].gpus) == ("ip-b", False, 0)


def test_dead_nodes_do_not_count() -> None:
    assert ray_state.nodes([node("a", state="DEAD")], JOBS, groups=[group("a")]) == []


@pytest.mark.parametrize(
    ("row", "held"),
    [
        (task("a", 2), {"engine-1-1-x": 2}),
        (task("a", 1, job_id="04000000", state="RUNNING_IN_RAY_GET"), {"": 1}),
        (task("a", 1, state="FINISHED"), {}),
        (task("a", 1, state="FAILED"), {}),
        (task(None, 1, state="PENDING_NODE_ASSIGNMENT"), {}),
        (task("a", 1, type="ACTOR_TASK"), {}),
        (task("a", 1, placement_group_id="g"), {}),
        (task("a", 0), {}),
        (task("a", 1, required_resources=None), {}),
    ],
)
def test_what_tasks_hold(row: dict[str, Any], held: dict[str, int]) -> None:
    assert ray_state.nodes([node("a")], JOBS, tasks=[row])[0].held == held


def test_jobs_without_an_id_of_ours_are_left_out() -> None:
    assert ray_state.jobs(JOBS) == [
        Job("engine-1-1-x", JobState.RUNNING),
        Job("engine-2-1-x", JobState.PENDING),
    ]
