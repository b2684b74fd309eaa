"""Secrets are ciphertext in the database and plain in Python."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from pytest_django import Settings

from endpoints.models import ApiKey, Endpoint

pytestmark = pytest.mark.django_db


def column(table: str, name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name} FROM {table}")
        value: str = cursor.fetchone()[0]
    return value


def test_an_endpoint_key_is_encrypted_at_rest() -> None:
    Endpoint.objects.create(name="a", base_url="http://h/v1", api_key="hunter2")
    assert "hunter2" not in column("endpoints_endpoint", "api_key")
    assert Endpoint.objects.get().api_key == "hunter2"


def test_no_secret_is_stored_as_nothing() -> None:
    Endpoint.objects.create(name="a", base_url="http://h/v1")
    assert column("endpoints_endpoint", "api_key") == ""
    assert Endpoint.objects.get().api_key == ""


def test_another_secret_key_is_told_with_the_fix(settings: Settings) -> None:
    Endpoint.objects.create(name="a", base_url="http://h/v1", api_key="hunter2")
    settings.SECRET_KEY = "another" * 8
    with pytest.raises(ImproperlyConfigured, match=r"secret\.key"):
        Endpoint.objects.get()


def test_an_api_key_is_stored_as_its_hash_alone() -> None:
    row, plain = ApiKey.issue(name="agent")
    assert plain.startswith("rh-")
    assert row.digest == ApiKey.objects.get().digest
    assert plain not in {str(value) for value in ApiKey.objects.values().get().values()}


def test_renewing_a_key_ends_the_old_one() -> None:
    row, plain = ApiKey.issue(name="agent")
    before = row.digest
    assert row.renew() != plain
    assert row.digest != before
