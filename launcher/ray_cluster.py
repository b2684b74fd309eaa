"""The door to Ray: jobs on a local head that is started when needed, or on a cluster that others keep.

The only importer of ray, and only inside functions: importing it takes half a second. What shaped it, read in Ray 2.60:
the Jobs SDK sets no timeouts, lets RAY_ADDRESS override the address that it is given, and answers every refusal with a
RuntimeError whose text is all there is. A second job of one submission id is refused, even after the first has ended.
"""

import contextlib
import functools
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings

from launcher import log_part, places, ray_state
from launcher.cluster import (
    ClusterStartingError,
    ClusterUnreachableError,
    Job,
    JobSpec,
    JobState,
    JobView,
    LogPart,
    Node,
    SubmitError,
)
from launcher.ray_head import Head, LocalHead

CONNECT_SECONDS, READ_SECONDS, SUBMIT_SECONDS = 2.0, 8.0, 15.0
HTTP_OK = 200

Answer = TypeVar("Answer")

ALL = "limit=10000"
UNFINISHED = "&".join(
    f"filter_keys=state&filter_predicates=!%3D&filter_values={state}" for state in sorted(ray_state.ENDED)
)
NODE_SHARE = 0.001  # of the resource by which Ray names a node: enough to start there

HEAD_GONE = "The Ray head is gone, and the job with it."
NODE_LOST = "The node that it ran on was lost"


class _NotRunningError(Exception):
    """It is a local cluster, and it does not run."""


class _UnknownError(Exception):
    """The cluster knows no such job."""


class _RefusedError(Exception):
    """The cluster answered, and did not do it; the message is its answer."""


class RayCluster:
    """Jobs on Ray. With an address: that cluster, joined and never ended. Without: a head of our own."""

    def __init__(self, address: str, head: LocalHead) -> None:
        """`address` is a dashboard's URL, or "" for the local head."""
        self._address = address
        self._head = head

    @property
    def local(self) -> bool:
        """Whether the head is ours."""
        return not self._address

    def ensure(self) -> None:
        """Return once jobs are taken; start a local head if none runs. See `Cluster.ensure`."""
        if self.local:
            self._head.ensure(_takes_jobs)
        else:
            self._client()

    def nodes(self) -> list[Node]:
        """Return the machines that are alive."""
        try:
            return _nodes(self._client())
        except _NotRunningError:
            return []

    def jobs(self) -> list[Job]:
        """Return the jobs that it has, and had."""
        try:
            return ray_state.jobs(_listed(self._client(), "/api/jobs/"))
        except _NotRunningError:
            return []

    def submit(self, job: JobSpec) -> bool:
        """Run the job; False if the cluster has or had it."""
        # The tools that vLLM calls (ninja, …) are those of its own environment.
        tools = shlex.quote(str(Path(job.argv[0]).parent))
        entrypoint, env = f'PATH={tools}:"$PATH" exec {shlex.join(job.argv)}', {**job.env, **job.secrets}
        if self.local and job.secrets:
            # Ray puts a job's variables on the command line of the process that prepares it, and into its own logs.
            secrets = shlex.quote(str(self._head.keep_secrets(job)))
            entrypoint, env = f". {secrets} && rm -f {secrets} && {entrypoint}", dict(job.env)
        try:
            client = self._client()
            _ask(
                lambda: client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job.submission_id,
                    runtime_env={"env_vars": env},
                    # Without resources a job starts on the head's node.
                    entrypoint_resources={f"node:{job.node}": NODE_SHARE} if job.node else None,
                )
            )
        except _NotRunningError:
            raise ClusterUnreachableError("The local Ray head does not run.") from None
        except (_RefusedError, _UnknownError) as error:
            said = str(error)
            if "already exists" in said:
                return False
            if "No available agent" in said or "head node agent" in said:
                raise ClusterStartingError("Ray takes no jobs yet.") from None
            raise SubmitError(f"Ray did not take the job: {_last_line(said)}") from None
        return True

    def view(self, submission_id: str) -> JobView:
        """Return what became of a job."""
        try:
            client = self._client()
            details = _ask(lambda: client.get_job_info(submission_id))
        except _NotRunningError:
            return JobView(JobState.GONE, HEAD_GONE)
        except _UnknownError:
            return JobView(JobState.GONE)
        except _RefusedError as error:
            raise ClusterUnreachableError(f"Ray does not say what became of it: {_last_line(str(error))}") from None
        state = JobState(str(details.status.value).lower())
        message = _last_line(details.message or "")
        if "node was terminated" in message:
            message = f"{NODE_LOST}: {message}"
        return JobView(state, message, details.driver_exit_code)

    def log(self, submission_id: str) -> str:
        """Return what the job wrote."""
        if self.local:
            return self._head.job_log(submission_id)
        try:
            client = self._client()
            return str(_ask(lambda: client.get_job_logs(submission_id)))[-log_part.KEPT_BYTES :]
        except (_UnknownError, _RefusedError):
            return ""

    def log_after(self, submission_id: str, place: int, *, last: bool = False) -> LogPart | None:
        """Return what the job wrote after a place. A cluster that was joined sends its log whole."""
        if self.local:
            return self._head.job_log_after(submission_id, place, last=last)
        try:
            client = self._client()
            data = str(_ask(lambda: client.get_job_logs(submission_id))).encode()
        except (_UnknownError, _RefusedError):
            return None
        began = log_part.begin(len(data), place)
        return log_part.cut(data[began : began + log_part.PART_BYTES], began, first=began not in {0, place}, last=last)

    def stop(self, submission_id: str) -> None:
        """Ask a job to end."""
        with contextlib.suppress(_NotRunningError, _UnknownError, _RefusedError):
            client = self._client()
            _ask(lambda: client.stop_job(submission_id))

    def shutdown(self) -> None:
        """End a local head and everything in it."""
        if self.local:
            self._head.shutdown()

    def _client(self) -> Any:
        """Return a client of the cluster.

        Raises:
            _NotRunningError: if it is a local one and does not run.
            ClusterUnreachableError: if it does not answer.
        """
        if not self.local:
            return _connect(self._address, "")
        head = self._head.known()
        if head is None:
            raise _NotRunningError
        try:
            return _connect(head.url, head.token)
        except ClusterUnreachableError:
            if head.alive:
                raise
            raise _NotRunningError from None


def from_settings() -> RayCluster:
    """Return the cluster that the settings name."""
    return RayCluster(settings.RAY_ADDRESS, LocalHead(settings.DATA_DIR.ray, places.of_this_host()))


def _takes_jobs(head: Head) -> bool:
    """Return whether the head answers and has its node; it answers first, and would seem to have no GPUs then."""
    try:
        return bool(_nodes(_connect(head.url, head.token)))
    except ClusterUnreachableError:
        return False


def _nodes(client: Any) -> list[Node]:
    rows = _listed(client, f"/api/v0/nodes?{ALL}")
    if not any(map(ray_state.gpu_count, rows)):  # then nobody holds one
        return ray_state.nodes(rows, [])
    # The jobs are asked last: whoever holds something by now is among them.
    groups = _listed(client, f"/api/v0/placement_groups?detail=1&{ALL}")
    actors = _listed(client, f"/api/v0/actors?detail=1&{ALL}")
    tasks = _listed(client, f"/api/v0/tasks?detail=1&{ALL}&{UNFINISHED}")
    jobs = _listed(client, "/api/jobs/")
    return ray_state.nodes(rows, jobs, groups=groups, actors=actors, tasks=tasks)


def _listed(client: Any, path: str) -> list[dict[str, Any]]:
    """Return the rows of one of Ray's lists.

    Raises:
        ClusterUnreachableError: if it does not say.
    """
    try:
        answer = _ask(lambda: client.get_json(path))
    except (_RefusedError, _UnknownError) as error:
        raise ClusterUnreachableError(f"Ray does not answer {path}: {_last_line(str(error))}") from None
    rows: list[dict[str, Any]] = answer if isinstance(answer, list) else answer["data"]["result"]["result"]
    return rows


def _connect(url: str, token: str) -> Any:
    """Return a client that was answered.

    Raises:
        ClusterUnreachableError: if it was not.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else None
    try:
        return _ask(lambda: _client_class()(url, headers=headers))
    except (_RefusedError, _UnknownError) as error:
        raise ClusterUnreachableError(f"{url} does not answer as a Ray dashboard: {_last_line(str(error))}") from None


@functools.lru_cache(maxsize=1)
def _client_class() -> Any:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        os.environ.pop(name, None)  # they would beat the address that the client is given
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]  # Ray ships no types
        """The SDK's client, with timeouts."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            submits = method == "POST" and endpoint == "/api/jobs/"
            options["timeout"] = (CONNECT_SECONDS, SUBMIT_SECONDS if submits else READ_SECONDS)
            if self._address.startswith("http://127.0.0.1:"):
                options["proxies"] = {"no_proxy": "127.0.0.1"}  # no proxy leads to the local head
            return super()._do_request(method, endpoint, **options)

        def get_json(self, endpoint: str) -> Any:
            """Return the answer to a GET."""
            response = self._do_request("GET", endpoint)
            if response.status_code != HTTP_OK:
                self._raise_error(response)
            return response.json()

    return Client


def _ask(call: Callable[[], Answer]) -> Answer:
    """Return what Ray answers, with its errors turned into ours."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        return call()
    except AuthenticationError:
        raise ClusterUnreachableError(
            "Ray wants another token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the cluster's."
        ) from None
    except (requests.RequestException, ConnectionError) as error:
        raise ClusterUnreachableError(f"Ray does not answer: {_last_line(str(error))}") from None
    except RuntimeError as error:
        if "status code 404" in str(error):
            raise _UnknownError(str(error)) from None
        raise _RefusedError(str(error)) from None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return lines[-1][:500] if lines else ""
