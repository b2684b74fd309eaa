"""What Ray's state API says (2.60), in our terms. Pure: rows of its JSON in, nodes and jobs out.

GPUs are given away as bundles of placement groups and as resources of actors and tasks outside of any. The first two
are listed at once, tasks within a second or so; Ray's own sums per node lag up to ten seconds behind.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launcher.cluster import Job, JobState, Node

Row = Mapping[str, Any]

HOLDING = {"CREATED", "RESCHEDULING"}  # states of a placement group whose bundles are, or were, given out
ENDED = {"FINISHED", "FAILED"}  # states of a task that has given back what it had


def nodes(
    rows: Sequence[Row],
    jobs: Sequence[Row],
    *,
    groups: Sequence[Row] = (),
    actors: Sequence[Row] = (),
    tasks: Sequence[Row] = (),
) -> list[Node]:
    """Return the machines that are alive, the head first, with the jobs that hold their GPUs."""
    submissions = {row["job_id"]: row["submission_id"] or "" for row in jobs if row.get("job_id")}
    held: dict[str, dict[str, float]] = {}
    for node_id, job_id, gpus in [*_bundles(groups), *_actors(actors), *_tasks(tasks)]:
        on_node = held.setdefault(node_id, {})
        job = submissions.get(job_id, "")
        on_node[job] = on_node.get(job, 0) + gpus
    found = [
        Node(
            address=row["node_ip"],
            is_head=row["is_head_node"],
            gpus=gpu_count(row),
            held={job: -int(-gpus // 1) for job, gpus in held.get(row["node_id"], {}).items()},  # a part counts whole
        )
        for row in rows
        if row["state"] == "ALIVE"
    ]
    return sorted(found, key=lambda node: (not node.is_head, node.address))


def gpu_count(row: Row) -> int:
    """Return how many GPUs a node has."""
    return int(row["resources_total"].get("GPU", 0))


def jobs(rows: Sequence[Row]) -> list[Job]:
    """Return the jobs that were submitted with an id; drivers that came by themselves have none."""
    return [Job(row["submission_id"], JobState(row["status"].lower())) for row in rows if row.get("submission_id")]


def _bundles(groups: Sequence[Row]) -> Iterator[tuple[str, str, float]]:
    for group in groups:
        if group["state"] in HOLDING:
            for bundle in group["bundles"] or []:
                if bundle["node_id"] and (gpus := bundle["unit_resources"].get("GPU", 0)):
                    yield bundle["node_id"], group["creator_job_id"], gpus


def _actors(actors: Sequence[Row]) -> Iterator[tuple[str, str, float]]:
    for actor in actors:
        gpus = (actor["required_resources"] or {}).get("GPU", 0)
        if actor["state"] == "ALIVE" and not actor["placement_group_id"] and gpus:
            yield actor["node_id"], actor["job_id"], gpus


def _tasks(tasks: Sequence[Row]) -> Iterator[tuple[str, str, float]]:
    for task in tasks:
        gpus = (task["required_resources"] or {}).get("GPU", 0)
        runs = task["type"] == "NORMAL_TASK" and task["node_id"] and task["state"] not in ENDED
        if runs and not task["placement_group_id"] and gpus:
            yield task["node_id"], task["job_id"], gpus
