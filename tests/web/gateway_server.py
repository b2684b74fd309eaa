"""The real ASGI application on a real Uvicorn, scripted engines behind it, and the rows that join them."""

import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from functools import partial
from http.client import HTTPConnection
from typing import Any

import httpx
from openai import OpenAI

from controlplane.asgi import application
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.models import ResponseRecord
from tests.contract.answers import CheckedClient
from tests.fakes.scripted_vllm import ScriptedVllm
from tests.fakes.uvicorn_thread import UvicornThread

NO_TLS = ssl.create_default_context()  # httpx would read every certificate anew for each client


class Site:
    """A gateway with a profile `tiny` over some engines, and a key that may call it."""

    def __init__(self, engines: list[ScriptedVllm], **profile: Any) -> None:
        self.engines = engines
        self.server = UvicornThread(application, lifespan="on", ws="websockets-sansio")
        # Unless a test is about waiting, nobody waits for an engine that is away.
        self.profile = ConfigProfile.objects.create(**{"name": "tiny", "hold_seconds": 0, **profile})
        for number, engine in enumerate(engines):
            self.profile.endpoints.add(register(engine, f"engine-{number}"))
        self.caller, self.key = ApiKey.issue(name="caller")

    @classmethod
    @contextmanager
    def another(cls, site: "Site") -> Iterator["Site"]:
        """A second gateway over the same rows and engines, as another web process would be."""
        other = copy(site)
        other.server = UvicornThread(application, lifespan="on", ws="websockets-sansio")
        with other.server:
            yield other
            other.server.stop()

    def refresh(self) -> None:
        """Wait until the gateway has seen every edit made so far.

        A profile is made and waited for, twice: the reading that saw the first may have begun before the edit.
        """
        for _ in range(2):
            seen = ConfigProfile.objects.create(name=f"seen-{uuid.uuid4().hex}")
            with self.client() as client:
                until(partial(self._lists, client, seen.name))

    @staticmethod
    def _lists(client: httpx.Client, name: str) -> bool:
        return client.get(f"/models/{name}").status_code == 200

    @property
    def engine(self) -> ScriptedVllm:
        """The first engine."""
        return self.engines[0]

    @property
    def url(self) -> str:
        """The base URL that clients are given."""
        return self.server.origin + "/v1"

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx.Client]:
        """An HTTP client with the caller's key and a cookie jar of its own, that checks what it is answered."""
        base = {
            "authorization": f"Bearer {self.key}",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        with CheckedClient(base_url=self.url, headers=base, timeout=90, verify=NO_TLS) as client:
            yield client

    @contextmanager
    def openai(self, **options: Any) -> Iterator[OpenAI]:
        """OpenAI's own client, without its retries."""
        with OpenAI(**{"base_url": self.url, "api_key": self.key, "max_retries": 0, **options}) as client:
            yield client

    def ask(self, given: Any = "hi", /, **request: Any) -> httpx.Response:
        """Ask `tiny` once, from a client without a cookie. `headers` go as headers, the rest into the body."""
        headers = request.pop("headers", {})
        with self.client(**headers) as client:
            return client.post("/responses", json={"model": "tiny", "input": given, **request})

    def leave(self, once: Callable[[], Any], /, **headers: str) -> None:
        """Ask `tiny`, and hang up without an answer once that is true: a time may be over before anybody has read."""
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        with closing(HTTPConnection("127.0.0.1", self.server.port)) as connection:
            connection.request("POST", "/v1/responses", json.dumps({"model": "tiny", "input": "hi"}), sent)
            until(once)


def register(engine: ScriptedVllm, name: str, **fields: Any) -> Endpoint:
    """Return the endpoint of an engine."""
    return Endpoint.objects.create(name=name, base_url=engine.base_url, api_key=engine.api_key, **fields)


@contextmanager
def running(engines: int = 1, *, max_model_len: int = 2048, **profile: Any) -> Iterator[Site]:
    """A site with so many engines, up and serving. Needs a database that other threads see."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(ScriptedVllm(api_key=f"key-{number}", max_model_len=max_model_len))
            for number in range(engines)
        ]
        site = Site(started, **profile)
        stack.enter_context(site.server)
        stack.callback(site.server.stop)  # politely, so that the ledger is closed
        for server in (*started, site.server):
            stack.callback(server.begin_stop)
        yield site


def until(true: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Return what the function returns as soon as that is true; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"It did not happen within {seconds:g} seconds: {found!r}."
        time.sleep(0.01)
    return found


def record(response: httpx.Response) -> ResponseRecord:
    """Return the ledger row of an answer."""
    return ResponseRecord.objects.get(response_id=response.json()["id"])
