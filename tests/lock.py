"""A database that somebody else holds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, connections, transaction


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Let nobody write to the table meanwhile; on SQLite, to any."""
    is_locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    with connection.cursor() as cursor:
                        cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
                is_locked.set()
                release.wait()
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    is_locked.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()
