"""Migrations: they may take as long as they need, and what is there already is counted."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from responses_api.ledger import usage
from responses_api.models import ResponseRecord, UsageMinute

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
fill = import_module("responses_api.migrations.0007_usage_minutes").count_what_is_there


@pytest.mark.django_db(transaction=True)
def test_statements_are_limited_but_not_those_of_migrations() -> None:
    if connection.vendor != "postgresql":
        return
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30s",)
        call_command("migrate", verbosity=0)
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
    connection.close()


@pytest.mark.django_db
def test_rows_from_before_the_minutes_were_counted_are_counted_as_the_ledger_would_have() -> None:
    causes = ("", "", "no_tokens")
    rows = [
        ResponseRecord.objects.create(
            response_id=f"resp_{number}",
            api="responses",
            profile_name="tiny",
            endpoint_name=f"gpu-{number % 2}",
            caller_name="caller",
            status="failed" if number % 5 == 0 else "completed",
            http_status=200,
            empty_cause=causes[number % 3],
            input_tokens=number if number % 4 else None,
            output_tokens=1,
            duration_ms=10**number % 400_000,
            created_at=NOW + timedelta(seconds=17 * number),
        )
        for number in range(20)
    ]
    with connection.cursor() as cursor:
        usage.count(cursor, rows)
    # Keys were told apart later.
    columns = [field.name for field in UsageMinute._meta.concrete_fields if field.name not in {"id", "caller_name"}]
    order = ("minute", "endpoint_name", "empty_cause")
    counted = [*UsageMinute.objects.order_by(*order).values(*columns)]
    UsageMinute.objects.all().delete()
    fill(apps, None)
    assert [*UsageMinute.objects.order_by(*order).values(*columns)] == counted
    assert sum(row["requests"] for row in counted) == 20
