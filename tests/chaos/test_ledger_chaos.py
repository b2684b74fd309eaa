"""What the ledger promises while things break: nothing that a client saw is lost, and nothing counts twice.

Each fault has a short form, and a long one in `make chaos`.
"""

import os
import random
import threading
from pathlib import Path

import pytest
from django.db import connection

from controlplane.postgresql.silence import PATIENCE_SECONDS
from responses_api.models import ResponseRecord, Session
from tests.chaos.load import check, grows, load
from tests.chaos.web_process import web_processes
from tests.lock import locked
from tests.web.gateway_server import until

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = int(os.environ.get("ROUNDHOUSE_TEST_CHAOS_TURNS", "3"))
IS_LONG = KILLS > 10
# PostgreSQL: longer than its silence is borne, so that it is asked whether it is there.
LOCKED_SECONDS = 10.0 if IS_LONG else 2 * PATIENCE_SECONDS if connection.vendor == "postgresql" else 2.0
UNLIMITED = 2**62
AWAY_SECONDS = 300.0 if IS_LONG else 3.0


def test_a_worker_that_is_killed_under_load_takes_no_answer_with_it(tmp_path: Path) -> None:
    with web_processes(tmp_path, 2) as (victim, other), load([victim, other]) as clients:
        for _ in range(KILLS):
            until(grows(lambda: len(clients.answered), by=random.randrange(20, 120)), seconds=60)
            victim.end()
            victim.start()
    assert clients.refused == []
    assert clients.broken
    check(clients)


def test_while_the_database_is_locked_requests_wait(tmp_path: Path) -> None:
    with web_processes(tmp_path) as (web,), load([web]) as clients:
        until(grows(lambda: len(clients.answered), by=50), seconds=60)
        with locked("responses_api_responserecord"):
            before = len(clients.answered)
            threading.Event().wait(LOCKED_SECONDS)
            assert len(clients.answered) <= before + 24
        until(grows(lambda: len(clients.answered), by=50), seconds=60)
    assert clients.refused == []
    assert clients.broken == 0
    assert web.spool == []
    check(clients)


def test_a_disk_that_is_full_is_said_and_got_over(tmp_path: Path) -> None:
    """Without a database that lies on another disk."""
    with web_processes(tmp_path) as (web,):
        assert web.ask("one").status_code == 200
        web.limit_files(0)
        if connection.vendor == "postgresql":
            assert web.ask("one").status_code == web.status("/readyz") == 200
            return
        refused = web.ask("one")
        assert refused.status_code == 503
        assert "neither to its database nor to its data directory" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"]
        until(lambda: web.status("/readyz") == 503)
        assert web.status("/livez") == 200
        web.limit_files(UNLIMITED)
        until(lambda: web.status("/readyz") == 200, seconds=60)
        assert web.ask("one").status_code == 200
    assert Session.objects.get().requests == ResponseRecord.objects.filter(session__key="one").count() >= 2
