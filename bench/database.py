"""The databases that Roundhouse is measured on: fresh ones, which may hold a million sessions already."""

import contextlib
import os
import secrets
from collections.abc import Iterator

import psycopg
from psycopg import sql

POSTGRES = os.environ.get("ROUNDHOUSE_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres")

# Each session has one row in the ledger, as if it had asked once a while ago. Both databases understand this.
FILL = """
from django.db import connection
with connection.cursor() as cursor:
    if connection.vendor == "postgresql":
        cursor.execute("SET statement_timeout = 0")  # a million rows take longer than any request may
    numbers = "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < {last}) "
    cursor.execute(
        "INSERT INTO responses_api_session (profile_id, caller_id, key, endpoint_id, created_at, last_seen_at, "
        "requests, empties, errors, input_tokens, output_tokens, moves) " + numbers +
        "SELECT 1, 1, 'bench-' || n, 1, '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1, 0, 0, 150, 60, 0 FROM number"
    )
    cursor.execute(
        "INSERT INTO responses_api_responserecord (response_id, api, profile_name, endpoint_name, caller_name, "
        "session_id, status, http_status, empty_cause, error_code, detail, finish_reason, attempts, input_tokens, "
        "output_tokens, duration_ms, engine_ms, created_at) "
        "SELECT 'resp_' || id, 'responses', 'bench', 'double', 'bench', id, 'completed', 200, '', '', '', 'stop', 1, "
        "150, 60, 900, 890, created_at FROM responses_api_session"
    )
with connection.cursor() as cursor:
    cursor.execute("ANALYZE")
"""


def why_no_postgres() -> str:
    """Return why PostgreSQL cannot be measured; empty if it can."""
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.Error as error:
        return str(error).strip().splitlines()[0]
    return ""


@contextlib.contextmanager
def fresh_postgres() -> Iterator[str]:
    """Make a database, yield its URL and drop it."""
    name = f"roundhouse_bench_{secrets.token_hex(4)}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield POSTGRES.rpartition("/")[0] + f"/{name}"
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
