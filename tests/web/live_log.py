"""A running engine's log, as its job writes it, and whoever watches it over a WebSocket."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from launcher import places
from launcher.models import Engine
from launcher.states import State
from tests.web.surfaces import make_engine, put_in_state

SECONDS = 30  # without a word, while the machine does other things
COOKIE = "roundhouse_admin"


def launched(attempt: int = 1, name: str = "tiny") -> Engine:
    """Return the engine as it is while its launch of that number starts."""
    engine = Engine.objects.filter(name=name).first() or make_engine(name)
    return put_in_state(
        engine,
        State.STARTING,
        generation=attempt,
        base_url="http://127.0.0.1:9",
        api_key="secret-of-the-engine",
        state_since=timezone.now(),
        phase="loading the model",
    )


def write(engine: Engine, text: str) -> None:
    """Add to the log of the launch that there is."""
    path = places.of_this_host().ray_temp / "session_latest" / "logs" / f"job-driver-{engine.submission_id}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def forget_logs(name: str = "tiny") -> None:
    """Remove what jobs wrote, and what was kept of earlier engines of that name: it is shown until a job writes."""
    shutil.rmtree(places.of_this_host().temp, ignore_errors=True)
    shutil.rmtree(places.of_this_host().log(name, 1).parent, ignore_errors=True)


def session_of(user: User) -> str:
    """Return the cookie of somebody who is signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[COOKIE].value


class Watcher:
    """A page that watches."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.standing: dict[str, Any] = {}
        self.cursor = ""
        self.text = ""

    def say(self, **message: Any) -> None:
        """Send one message."""
        self.connection.send(json.dumps(message))

    def hear(self, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next message, and show what it holds."""
        heard: dict[str, Any] = json.loads(self.connection.recv(seconds))
        if heard["type"] == "state":
            self.standing = heard
            return heard
        self.text = "" if heard["anew"] else self.text
        self.text += heard["text"]
        self.cursor = heard["cursor"]
        return heard

    def sees(self, text: str) -> None:
        """Wait until just that is shown."""
        while self.text != text:
            self._hear_or_tell(f"it waits for {text!r}")

    def hears(self, **standing: Any) -> None:
        """Wait until the engine does so."""
        while {name: self.standing.get(name) for name in standing} != standing:
            self._hear_or_tell(f"it waits for {standing}")

    def _hear_or_tell(self, wish: str) -> None:
        try:
            self.hear()
        except TimeoutError as error:
            told = f"{wish}, and shows {self.text!r} at {self.cursor!r}, {self.standing}"
            raise AssertionError(told) from error


@contextmanager
def watching(port: int, engine: Engine, session: str, query: str = "", **headers: str) -> Iterator[Watcher]:
    """An open connection, from a page of the same address unless the headers say otherwise."""
    address = f"127.0.0.1:{port}"
    sent = {"cookie": f"{COOKIE}={session}", **headers}
    origin: Any = sent.pop("origin", f"http://{address}")
    url = f"ws://{address}/admin/launcher/engine/{engine.pk}/log/tail/{query}"
    with connect(url, origin=origin or None, additional_headers=sent, proxy=None, max_size=None) as connection:
        yield Watcher(connection)
