"""Who is waited for, and who is not, on a real PostgreSQL. That it may hang is shown by tests/chaos."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from controlplane.postgresql import silence
from controlplane.postgresql.silence import WatchedConnection

URL = os.environ.get("ROUNDHOUSE_TEST_POSTGRES", "")
pytestmark = pytest.mark.skipif(not URL, reason="no PostgreSQL")


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedConnection]:
    monkeypatch.setattr(silence, "PATIENCE_SECONDS", 0.05)
    with WatchedConnection.connect(URL) as connection:
        yield connection
        connection.rollback()


def test_who_works_for_long_is_waited_for(connection: WatchedConnection) -> None:
    assert connection.execute("SELECT pg_sleep(1), 7").fetchone() == ("", 7)


def test_who_writes_much_is_waited_for_though_the_disk_is_what_he_waits_for(connection: WatchedConnection) -> None:
    connection.execute("CREATE TABLE silence_test_written (n bigint PRIMARY KEY, said text)")  # rolled back
    written = connection.execute(
        "INSERT INTO silence_test_written SELECT n, repeat('x', 100) FROM generate_series(1, 300000) AS n"
    )
    assert written.rowcount == 300_000


def test_who_waits_for_a_lock_is_waited_for_as_long_as_the_server_lets_him(connection: WatchedConnection) -> None:
    with psycopg.connect(URL) as other:
        other.execute("SELECT pg_advisory_xact_lock(727272)")
        connection.execute("SET statement_timeout = 1000")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_advisory_xact_lock(727272)")
