"""`manage.py migrate`, which may take its time."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections


class Command(migrate.Command):
    """Django's own, without the limit on statements that everything else keeps to: a large table takes minutes."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate."""
        connection = connections[options["database"]]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
            connection.connection.limit_seconds = float("inf")
        super().handle(*args, **options)
