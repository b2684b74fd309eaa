"""PostgreSQL behind a network that breaks."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.db import connection

from controlplane.away import SAID
from controlplane.crowd import MAX_AT_ONCE
from endpoints.models import ApiKey
from responses_api.models import ResponseRecord, Session, StoredResponse
from tests.chaos.load import check, grows, load
from tests.chaos.test_ledger_chaos import AWAY_SECONDS, UNLIMITED
from tests.chaos.web_process import WebProcess, database_url, web_processes
from tests.fakes.tcp_proxy import TcpProxy
from tests.web.gateway_server import NO_TLS, until

# What goes by until a silence is noticed: patience, a knock, and some more for a machine that is busy.
SOON_SECONDS = 15.0

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def network() -> Iterator[TcpProxy]:
    here = connection.settings_dict
    with TcpProxy(here["HOST"], int(here["PORT"] or 5432)) as proxy:
        yield proxy


def error_of(web: WebProcess, session: str, **asked: object) -> tuple[int, str]:
    answer = web.ask(session, **asked)  # type: ignore[arg-type]  # any field of a body, or a key
    return answer.status_code, answer.json()["error"]["message"]


def test_what_is_known_is_served_while_postgresql_is_away(tmp_path: Path, network: TcpProxy) -> None:
    with web_processes(tmp_path, 2, database=database_url(network.port)) as (web, victim):
        stored = web.ask("stored").json()["id"]
        with load([web, victim]) as clients:
            until(grows(lambda: len(clients.answered), by=60), seconds=60)
            network.close()
            until(lambda: len(web.spool) == 2, seconds=30)
            until(grows(lambda: len(clients.answered), by=60), seconds=60)
            assert web.ask("new").status_code == 200
            status, message = error_of(web, "new", key=ApiKey.issue(name="just made")[1])
            assert (status, "database" in message) == (503, True)
            status, message = error_of(web, "stored", previous_response_id=stored)
            assert (status, "database" in message) == (503, True)
            threading.Event().wait(AWAY_SECONDS)
            victim.end()  # its spool stays
            until(grows(lambda: len(clients.answered), by=30), seconds=60)
            network.open()
            until(lambda: web.spool == [], seconds=60)
            victim.start()
            until(grows(lambda: len(clients.answered), by=60), seconds=60)
    assert [status for status, _ in clients.refused if status != 503] == []
    assert clients.refused == []
    check(clients)
    assert Session.objects.get(key="new").requests == ResponseRecord.objects.filter(session__key="new").count() == 1
    kept = {*ResponseRecord.objects.filter(session__key="session-2").values_list("response_id", flat=True)}
    assert kept <= {*StoredResponse.objects.values_list("response_id", flat=True)}


def test_a_commit_of_which_nobody_hears_is_not_done_twice(tmp_path: Path, network: TcpProxy) -> None:
    with web_processes(tmp_path, database=database_url(network.port)) as (web,), load([web]) as clients:
        for _ in range(5):
            until(grows(lambda: len(clients.answered), by=40), seconds=60)
            network.deafen()
            threading.Event().wait(0.3)
            network.cut()
        until(grows(lambda: len(clients.answered), by=40), seconds=60)
        until(lambda: web.spool == [], seconds=30)
    assert clients.refused == []
    check(clients)


def test_a_disk_that_is_full_while_postgresql_is_away(tmp_path: Path, network: TcpProxy) -> None:
    with web_processes(tmp_path, database=database_url(network.port)) as (web,):
        assert web.ask("one").status_code == 200
        network.close()
        assert web.ask("one").status_code == web.status("/readyz") == 200
        web.limit_files(0)
        status, message = error_of(web, "one")
        assert (status, "neither to its database nor to its data directory" in message) == (503, True)
        assert web.status("/readyz") == 503
        web.limit_files(UNLIMITED)
        assert web.ask("one").status_code == web.status("/readyz") == 200
        web.limit_files(0)
        assert web.ask("one").status_code == 503
        network.open()
        web.limit_files(UNLIMITED)
        until(lambda: web.status("/readyz") == 200, seconds=60)
        until(lambda: web.spool == [], seconds=60)
    assert Session.objects.get().requests == ResponseRecord.objects.count()
    assert ResponseRecord.objects.filter(status="completed").count() == 3


def look(web: WebProcess, path: str) -> httpx.Response:
    """Return the answer of a path of the control API."""
    headers = {"authorization": f"Bearer {ApiKey.issue(name='control', scope_control=True)[1]}"}
    return httpx.get(f"http://127.0.0.1:{web.port}{path}", headers=headers, verify=NO_TLS, timeout=60)


def test_a_postgresql_that_hangs_is_as_good_as_one_that_is_away(tmp_path: Path, network: TcpProxy) -> None:
    """Its connections stay open, new ones are taken, and nothing comes back."""
    with web_processes(tmp_path, database=database_url(network.port)) as (web,):
        stored = web.ask("stored").json()["id"]
        with load([web]) as clients:
            until(grows(lambda: len(clients.answered), by=60), seconds=60)
            network.deafen()
            began = time.monotonic()
            until(lambda: web.spool, seconds=30)
            assert time.monotonic() - began < SOON_SECONDS
            until(grows(lambda: len(clients.answered), by=60), seconds=60)
            began = time.monotonic()
            status, message = error_of(web, "stored", previous_response_id=stored)
            assert (status, "database" in message) == (503, True)
            refused = look(web, "/api/v1/profiles/")
            assert (refused.status_code, refused.json()["detail"]) == (503, SAID)
            assert refused.headers["retry-after"] == "5"
            assert web.status("/admin/login/") in {200, 503}
            assert web.status("/readyz") == 200
            assert time.monotonic() - began < 3 * SOON_SECONDS
            network.cut()
            until(lambda: web.spool == [], seconds=60)
            until(grows(lambda: len(clients.answered), by=60), seconds=60)
    assert clients.refused == []
    check(clients)


def connections_now() -> int:
    with connection.cursor() as cursor:
        cursor.execute(  # autovacuum comes and goes as it likes
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


def test_connections_stay_few_whatever_comes(tmp_path: Path) -> None:
    control = ApiKey.issue(name="control", scope_control=True)[1]
    counts: list[int] = []
    with web_processes(tmp_path) as (web,), load([web], clients=64) as clients, ThreadPoolExecutor(40) as executor:
        url, headers = f"http://127.0.0.1:{web.port}/api/v1/profiles/", {"authorization": f"Bearer {control}"}

        def look(_: int) -> int:
            return httpx.get(url, headers=headers, verify=NO_TLS, timeout=60).status_code

        looks = executor.map(look, range(400))
        enough = grows(lambda: len(clients.answered), by=500)
        while not enough():
            counts.append(connections_now())
        assert {*looks} == {200}
        # Django's requests, the ledger, the configuration, four that read what is stored; and this test's own.
        assert max(counts) <= MAX_AT_ONCE + 1 + 1 + 4 + 1
        until(lambda: connections_now() <= 7)
    check(clients)
