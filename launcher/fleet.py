"""The cluster as people look at it: what each node has, who holds it, who waits for it, and what nobody owns.

An orphan is a job or a process that carries an engine's name, of this installation, and belongs to no attempt that the
reconciler looks after: what a database that was put back, or a row that was deleted by hand, leaves behind. It is ended
on request, never by itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from launcher import command, placement, places, processes, queries
from launcher.cluster import Cluster, ClusterUnreachableError, JobState, Node
from launcher.models import Engine, installation
from launcher.states import State

_JOB = re.compile(r"engine-(\d+)-(\d+)-([0-9a-f]{8})")


@dataclass(frozen=True)
class Holder:
    """Whoever has GPUs of a node: an engine by name, or what else the cluster runs. `taken`: it uses them already."""

    name: str
    gpus: int
    engine_id: int | None
    taken: bool


@dataclass(frozen=True)
class NodeView:
    """One machine."""

    address: str
    is_head: bool
    gpus: int
    free_gpus: int
    holders: list[Holder]


@dataclass(frozen=True)
class Waiting:
    """An engine that is wanted and not launched yet, and why."""

    engine: str
    engine_id: int
    reason: str


@dataclass(frozen=True)
class Orphan:
    """What is left of an attempt that nobody looks after.

    `job` is its state on the cluster, None if it has none that runs; `gpus` what its placement groups hold there.
    """

    submission_id: str
    engine: str
    attempt: int
    job: JobState | None
    processes: list[str]
    gpus: int = 0


@dataclass(frozen=True)
class Fleet:
    """Everything at once. `trouble`: why the cluster said nothing; its part is empty then."""

    local: bool
    running: bool
    trouble: str
    nodes: list[NodeView] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)

    @property
    def gpus(self) -> int:
        """All of them."""
        return sum(node.gpus for node in self.nodes)

    @property
    def free_gpus(self) -> int:
        """Those that nobody has."""
        return sum(node.free_gpus for node in self.nodes)


def look(cluster: Cluster) -> Fleet:
    """Return what there is now."""
    nodes, trouble = _nodes(cluster)
    pending = Engine.objects.filter(state=State.PENDING).only("name", "phase", "state_reason")
    return Fleet(
        local=cluster.local,
        running=bool(nodes),
        trouble=trouble,
        nodes=_views(nodes),
        waiting=[Waiting(engine.name, engine.pk, engine.phase or engine.state_reason) for engine in pending],
        orphans=orphans(cluster),
    )


def orphans(cluster: Cluster) -> list[Orphan]:
    """Return what carries the name of an engine of ours and belongs to none that is looked after."""
    marks = processes.by_mark(command.MARK_VARIABLE)
    ours = places.of_this_host().mark("")
    running = {mark.removeprefix(ours): found for mark, found in marks.items() if mark.startswith(ours)}
    jobs = _active_jobs(cluster)
    held = [node.held for node in _nodes(cluster)[0]]
    gpus = {job: sum(each.get(job, 0) for each in held) for one in held for job in one}
    # Asked last: an attempt that began meanwhile is among them.
    known = {claim.submission_id for claim in queries.claims()}
    names = dict(Engine.objects.values_list("pk", "name"))
    found = []
    for submission_id in sorted({*jobs, *running, *gpus} - known):
        match = _JOB.fullmatch(submission_id)
        if match is None or match[3] != installation():
            continue
        name = names.get(int(match[1]), f"engine {match[1]}, which was deleted")
        views = [str(view) for view in running.get(submission_id, [])]
        job = jobs.get(submission_id)
        found.append(Orphan(submission_id, name, int(match[2]), job, views, gpus.get(submission_id, 0)))
    return found


def reap(cluster: Cluster) -> tuple[list[Orphan], list[Orphan]]:
    """End every orphan: its job, which gives its GPUs back, then its processes on this machine, and remove its files.

    Return those that there were, and what is left.

    A job needs some seconds to end: what is left of it may be gone at the next look.
    """
    found = orphans(cluster)
    for orphan in found:
        if orphan.job is not None:
            cluster.stop(orphan.submission_id)
        _end(orphan.submission_id)
    return found, orphans(cluster) if found else []


def _end(submission_id: str) -> None:
    """End its processes on this machine, and remove what they have in shared memory and in their temporary folder."""
    where = places.of_this_host()
    mark = command.MARK_VARIABLE, where.mark(submission_id)
    shared = where.remembered_shared_memory(submission_id) | processes.shared_memory(*mark)
    if not processes.end(*mark):
        processes.remove_shared_memory(shared)
        where.remove_temp(submission_id)


def _nodes(cluster: Cluster) -> tuple[list[Node], str]:
    try:
        return cluster.nodes(), ""
    except ClusterUnreachableError as error:
        return [], str(error)


def _active_jobs(cluster: Cluster) -> dict[str, JobState]:
    try:
        return {job.submission_id: job.state for job in cluster.jobs() if job.state.active}
    except ClusterUnreachableError:
        return {}


def _views(nodes: list[Node]) -> list[NodeView]:
    promised = {claim.submission_id: claim.gpus for claim in queries.claims()}
    engines = {row.submission_id: row for row in Engine.objects.only("name", "generation")}
    rooms = placement.rooms(nodes, promised)
    return [
        NodeView(node.address, node.is_head, node.gpus, room.free, _holders(node, promised, engines))
        for node, room in zip(nodes, rooms, strict=True)
    ]


def _holders(node: Node, promised: Mapping[str, Mapping[str, int]], engines: Mapping[str, Engine]) -> list[Holder]:
    """Return who has what of a node; what was promised to an engine and is not taken yet counts too."""
    open_ = {job: gpus.get(node.address, 0) - node.held.get(job, 0) for job, gpus in promised.items()}
    return [
        Holder(engines[job].name if job in engines else job or "others", gpus, _pk(engines.get(job)), taken)
        for taken, found in ((True, node.held), (False, open_))
        for job, gpus in found.items()
        if gpus > 0
    ]


def _pk(engine: Engine | None) -> int | None:
    return engine.pk if engine else None
