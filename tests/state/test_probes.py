import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.utils import timezone
from pytest_django import Settings

from endpoints.models import ConfigProfile, Endpoint
from endpoints.probe import Look
from endpoints.services import apply_probe, drain_endpoint, register_engine_endpoint, withdraw_endpoint
from endpoints.tasks import probe_all
from tests.state.engines import make_engine

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()
GOOD = Look("", ("tiny",), 2048)
BAD = Look("GET /health answers HTTP 503.")


@pytest.fixture
def models_url() -> Iterator[str]:
    """A real server that lists one model."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": [{"id": "qwen", "max_model_len": 4096}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def endpoint(name: str = "hand", base_url: str = "http://127.0.0.1:9/v1", **fields: object) -> Endpoint:
    return Endpoint.objects.create(name=name, base_url=base_url, **fields)


def test_every_enabled_endpoint_of_no_engine_is_looked_at(models_url: str) -> None:
    endpoint("well", models_url)
    endpoint("dead")
    endpoint("off", enabled=False)
    make_engine(endpoint=endpoint("owned"))
    probe_all()
    probe_all()
    found = {row.name: row for row in Endpoint.objects.all()}
    assert {name: row.health for name, row in found.items()} == {
        "well": "healthy",
        "dead": "unhealthy",
        "off": "unknown",
        "owned": "unknown",
    }
    assert (found["well"].served_models, found["well"].max_model_len) == (["qwen"], 4096)
    assert found["dead"].health_reason.startswith("Nothing answers at http://127.0.0.1:9")
    assert found["dead"].probe_failures == 2
    assert found["off"].last_probe_at is None
    assert found["well"].last_probe_at is not None


def test_a_key_that_cannot_be_decrypted_stops_no_other_probe(settings: Settings) -> None:
    ours, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 8
    Endpoint.objects.create(name="locked", base_url="http://127.0.0.1:9/v1", api_key="secret")
    settings.SECRET_KEY = ours
    Endpoint.objects.create(name="dead", base_url="http://127.0.0.1:9/v1", api_key="secret")
    probe_all()
    reasons = dict(Endpoint.objects.values_list("name", "health_reason"))
    assert reasons["locked"] == "Its API key cannot be decrypted: set it anew."
    assert reasons["dead"].startswith("Nothing answers")


def test_no_endpoints_is_no_error() -> None:
    probe_all()


def test_one_failure_keeps_what_is_known_and_two_do_not() -> None:
    row = endpoint()
    apply_probe(row, GOOD, now=NOW)
    row.refresh_from_db()
    assert (row.health, row.health_since, row.served_models) == ("healthy", NOW, ["tiny"])
    for number, health in ((1, "healthy"), (2, "unhealthy"), (3, "unhealthy")):
        standing = apply_probe(row, BAD, now=NOW + dt.timedelta(seconds=number))
        row.refresh_from_db()
        assert (row.health, row.health_reason, row.probe_failures) == (health, BAD.problem, number)
        assert standing.health == health
    assert row.health_since == NOW + dt.timedelta(seconds=2)
    assert (row.served_models, row.max_model_len) == (["tiny"], 2048)


def test_a_probe_that_was_overtaken_writes_nothing() -> None:
    row = endpoint()
    stale = Endpoint.objects.get()
    withdraw_endpoint(row.pk, reason="Engine tiny is stopped.", now=NOW)
    apply_probe(stale, GOOD, now=NOW)
    row.refresh_from_db()
    assert (row.health, row.health_reason) == ("unhealthy", "Engine tiny is stopped.")


def test_a_probe_of_an_address_that_was_edited_meanwhile_writes_nothing() -> None:
    row = endpoint()
    stale = Endpoint.objects.get()
    Endpoint.objects.update(base_url="http://127.0.0.1:10/v1")
    apply_probe(stale, GOOD, now=NOW)
    row.refresh_from_db()
    assert row.health == "unknown"


def test_a_probe_changes_nothing_that_an_operator_edits() -> None:
    row = endpoint()
    Endpoint.objects.update(draining=True, api_key="new")
    apply_probe(row, GOOD, now=NOW)
    row.refresh_from_db()
    assert (row.draining, row.api_key, row.health) == (True, "new", "healthy")


def test_an_engines_endpoint_comes_goes_and_comes_back() -> None:
    policy, judge = (ConfigProfile.objects.create(name=name) for name in ("policy", "judge"))

    def register(owned: int | None, url: str) -> Endpoint:
        made = register_engine_endpoint(
            owned, name="tiny", base_url=url, api_key="k", found=GOOD, profiles=[policy], now=NOW
        )
        return Endpoint.objects.get(pk=made.pk)

    first = register(None, "http://127.0.0.1:20000/v1")
    assert (first.name, first.health, first.health_since, first.max_model_len) == ("tiny", "healthy", NOW, 2048)
    assert list(first.profiles.all()) == [policy]
    first.profiles.add(judge)
    drain_endpoint(first.pk)
    first.refresh_from_db()
    assert (first.draining, first.health) == (True, "healthy")

    later = NOW + dt.timedelta(minutes=1)
    withdraw_endpoint(first.pk, reason="Engine tiny is stopped.", now=later)
    withdraw_endpoint(first.pk, reason="Engine tiny is stopped for good.", now=later + dt.timedelta(minutes=1))
    first.refresh_from_db()
    assert (first.health, first.health_since, first.draining) == ("unhealthy", later, False)
    assert first.health_reason == "Engine tiny is stopped for good."

    again = register(first.pk, "http://127.0.0.1:20001/v1")
    assert (again.pk, again.base_url, again.health, again.probe_failures) == (
        first.pk,
        "http://127.0.0.1:20001/v1",
        "healthy",
        0,
    )
    assert set(again.profiles.all()) == {policy, judge}
