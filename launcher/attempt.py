"""One attempt to run an engine: its job, its processes, its log, its litter. Asked and told by the reconciler.

An attempt is an engine's generation. Nothing here decides anything, or writes an engine's state.
"""

import datetime as dt
import logging
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from endpoints import probe
from endpoints.health import Health
from endpoints.models import Endpoint
from endpoints.services import apply_probe
from launcher import causes, command, log_lines, placement, places, processes, progress, queries, weights
from launcher.cluster import Cluster, ClusterUnreachableError, JobSpec, JobView
from launcher.models import Engine
from launcher.places import Places
from launcher.plan import Observation
from launcher.states import State

logger = logging.getLogger(__name__)

KEEP_SECONDS = 60.0  # between two copies of the log of an engine that serves
TOKEN_SECONDS = 20.0  # for the first token; a longer warm-up is asked again at the next visit
BEFORE_LOADING = {progress.PROCESSES, progress.SMALL_FILES, progress.DOWNLOADING, progress.MODEL}
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)


class Attempt:
    """The current attempt of an engine on a cluster."""

    def __init__(self, engine: Engine, cluster: Cluster, where: Places) -> None:
        """`where` names the attempt's folders and its mark."""
        self.engine = engine
        self.cluster = cluster
        self.where = where
        self.found = probe.Look(problem="")  # what the engine said of itself when it was last looked at

    @property
    def claimed(self) -> bool:
        """Whether there is one."""
        return bool(self.engine.base_url)

    @property
    def elsewhere(self) -> bool:
        """Whether it runs on another host's own Ray: that host alone sees it, and looks after it."""
        return self.claimed and self.cluster.local and places.is_other_host(self.engine.ray_host)

    @property
    def mark(self) -> tuple[str, str]:
        """The variable, and its value, that its processes carry."""
        return command.MARK_VARIABLE, self.where.mark(self.engine.submission_id)

    @property
    def serving(self) -> Endpoint | None:
        """The engine's endpoint, if it is healthy and leads to this attempt."""
        endpoint = self.engine.endpoint
        if endpoint is None or endpoint.base_url != self.engine.base_url:
            return None
        return endpoint if endpoint.health == Endpoint.Health.HEALTHY else None

    @property
    def draining(self) -> bool:
        """Whether it served until its stop was asked for, or an operator drains it, so that answers may be running."""
        endpoint = self.engine.endpoint
        return endpoint is not None and endpoint.base_url == self.engine.base_url and endpoint.draining

    def spec(self) -> JobSpec:
        """Return the job of the attempt, and make what it needs.

        Raises:
            PlaceError, OSError: if there is no place for its temporary files.
        """
        engine = self.engine
        address = urlsplit(engine.base_url)
        temp_dir = str(self.where.make_temp(engine.submission_id)) if self.cluster.local else ""
        built = command.build(
            command.Launch(
                interpreter=engine.interpreter,
                model=engine.model,
                served_names=queries.served_names(engine),
                host=address.hostname or "127.0.0.1",
                port=address.port or 0,
                api_key=engine.api_key,
                hf_token=engine.hf_token,
                hf_home=engine.hf_home or str(settings.DATA_DIR.models),
                temp_dir=temp_dir,
                placement=placement.from_json(engine.placement),
                debug=engine.debug,
                show_stats=engine.show_vllm_engine_stats,
                kwargs=engine.vllm_serve_kwargs,
                env_vars=engine.vllm_serve_env_vars,
            )
        )
        secrets = {name: value for name, value in built.env.items() if _SECRET_NAME.search(name)}
        env = {name: value for name, value in built.env.items() if name not in secrets}
        marked = env | processes.environment(*self.mark)
        node = "" if self.cluster.local else address.hostname or ""
        return JobSpec(engine.submission_id, built.argv, marked, secrets, node)

    def observe(self, now: dt.datetime) -> Observation:
        """Return what is seen of it. What a state has no use for is not looked at."""
        if not self.claimed:
            return Observation()
        try:
            seen = Observation(job=self.cluster.view(self.engine.submission_id))
        except ClusterUnreachableError as error:
            seen = Observation(job=None, trouble=str(error))
        state = State(self.engine.state)
        if state in {State.STARTING, State.READY, State.UNHEALTHY}:
            return self._observe_running(seen, seen.job, now)
        if state in {State.STOPPING, State.FAILED} and not (seen.job and seen.job.state.active):
            survivors = [str(view) for view in processes.marked(*self.mark)] + self._held()
            return replace(seen, survivors=survivors, port_free=not survivors and self._port_is_free())
        return seen

    def remember(self) -> None:
        """Note what it has in shared memory, while its processes can be asked."""
        if self.cluster.local:
            self.where.remember_shared_memory(self.engine.submission_id, processes.shared_memory(*self.mark))

    def end_processes(self) -> None:
        """End what is left of it on this machine."""
        self.remember()
        if left := processes.end(*self.mark):
            logger.error("Engine %s: processes that do not end: %s", self.engine.name, ", ".join(map(str, left)))

    def keep_log(self) -> str:
        """Copy its log into the data directory, without secrets, and return it; what was kept before if it is gone."""
        if not self.claimed:
            return ""
        engine = self.engine
        try:
            text = log_lines.redact(self.cluster.log(engine.submission_id), self.secrets())
            if text:
                self.where.save_log(engine.name, engine.generation, text)
                return text
        except ClusterUnreachableError:
            pass
        except OSError as error:
            logger.warning("Engine %s: its log cannot be kept: %s", engine.name, error)
        return self.where.saved_log(engine.name, engine.generation)

    def _keep_log_of_now(self, now: dt.datetime) -> None:
        """Copy the log of an engine that serves, now and then: a machine that dies takes its temporary folder along.

        A cluster that was joined sends its logs whole, which would take too long.
        """
        engine = self.engine
        if self.cluster.local and now.timestamp() - self.where.saved_at(engine.name, engine.generation) > KEEP_SECONDS:
            self.keep_log()

    def clear_away(self) -> None:
        """Remove what its processes, which are gone, left in shared memory and in its temporary folder."""
        if self.claimed and self.cluster.local:
            processes.remove_shared_memory(self.where.remembered_shared_memory(self.engine.submission_id))
            self.where.remove_temp(self.engine.submission_id)

    def _observe_running(self, seen: Observation, job: JobView | None, now: dt.datetime) -> Observation:
        if job is not None and not job.state.active:
            log = self.keep_log()
            lost = causes.port_taken(log) and not self._port_is_free()
            return replace(seen, cause=causes.cause(log), port_lost=lost)
        if self.engine.state == State.STARTING:
            return self._observe_starting(seen, now)
        self._keep_log_of_now(now)
        self.found = probe.look(self._target())
        if self.engine.endpoint is None:  # someone deleted it; it comes back when the engine is well
            return replace(seen, answers=not self.found.problem, problem=self.found.problem)
        standing = apply_probe(self.engine.endpoint, self.found, now=now)
        return replace(seen, answers=standing.health == Health.HEALTHY, problem=standing.reason)

    def _observe_starting(self, seen: Observation, now: dt.datetime) -> Observation:
        seen = self._with_progress(seen, self.keep_log(), now)
        self.found = probe.look(self._target())
        if not self.found.listening:
            return seen
        problem = self.found.problem or self._first_token()
        return replace(seen, problem=problem, answers=not problem)

    def _with_progress(self, seen: Observation, log: str, now: dt.datetime) -> Observation:
        """Add how far the start is: by its log, and by the files of a download, of which the log says nothing."""
        found, seconds = progress.from_log(log), now.timestamp()
        if self.cluster.local and (found is None or found.stage in BEFORE_LOADING):
            hub = Path(self.engine.hf_home or settings.DATA_DIR.models) / "hub"
            found = weights.downloading(hub, self.engine.model, seconds) or found
        if found is None:
            return seen
        timed, kept = progress.timed(found, self.engine.progress, seconds)
        return replace(seen, phase=timed.said, progress=kept)

    def _first_token(self) -> str:
        """Return why the engine that listens is not ready; "" if it serves its names and generated a token."""
        names, served = queries.served_names(self.engine), self.found.served_models
        if missing := sorted(set(names) - set(served)):
            return f"It serves {', '.join(served)}, not {', '.join(missing)}."
        try:
            probe.generate_token(self._target(), names[0], seconds=TOKEN_SECONDS)
        except probe.ProbeError as error:
            return str(error)
        return ""

    def _held(self) -> list[str]:
        """Return the GPUs that the cluster still holds for it, as people would name them."""
        if not self.engine.placement:
            return []
        try:
            nodes = self.cluster.nodes()
        except ClusterUnreachableError as error:
            return [f"GPUs, perhaps ({error})"]
        held = [(node.held.get(self.engine.submission_id, 0), node.address) for node in nodes]
        return [f"{gpus} GPUs on {address}" for gpus, address in held if gpus]

    def _target(self) -> probe.Target:
        return probe.Target(self.engine.base_url, self.engine.api_key)

    def _port_is_free(self) -> bool:
        address = urlsplit(self.engine.base_url)
        return processes.port_is_free(address.hostname or "127.0.0.1", address.port or 0)

    def secrets(self) -> list[str]:
        """Return what must not be read in its log."""
        variables = {**os.environ, **self.engine.vllm_serve_env_vars}
        named = [value for name, value in variables.items() if _SECRET_NAME.search(name) and isinstance(value, str)]
        return [self.engine.api_key, self.engine.hf_token, *named]
