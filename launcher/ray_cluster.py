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

from launcher import places
from launcher.cluster import (
    ClusterStartingError,
    ClusterUnreachableError,
    JobSpec,
    JobState,
    JobView,
    Node,
    SubmitError,
)
from launcher.ray_head import LOG_BYTES, Head, LocalHead

CONNECT_SECONDS, READ_SECONDS, SUBMIT_SECONDS = 2.0, 8.0, 15.0
HTTP_OK = 200

Answer = TypeVar("Answer")

HEAD_GONE = "The Ray head is gone, and the job with it."


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
                    entrypoint=entrypoint, submission_id=job.submission_id, runtime_env={"env_vars": env}
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
        return JobView(state, _last_line(details.message or ""), details.driver_exit_code)

    def log(self, submission_id: str) -> str:
        """Return what the job wrote."""
        if self.local:
            return self._head.job_log(submission_id)
        try:
            client = self._client()
            return str(_ask(lambda: client.get_job_logs(submission_id)))[-LOG_BYTES:]
        except (_UnknownError, _RefusedError):
            return ""

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
    try:
        answer = _ask(lambda: client.get_json("/api/v0/nodes?limit=10000"))
    except (_RefusedError, _UnknownError) as error:
        raise ClusterUnreachableError(f"Ray does not list its nodes: {_last_line(str(error))}") from None
    return [
        Node(row["node_ip"], row["is_head_node"], int(row["resources_total"].get("GPU", 0)))
        for row in answer["data"]["result"]["result"]
        if row["state"] == "ALIVE"
    ]


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
