"""Settings that are each fine and wrong together are found, with an id and a hint."""

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}}
SQLITE = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"DATABASES": SQLITE}, set()),
        ({"DATABASES": SQLITE, "CELERY_BROKER_URL": "redis://h/0"}, {"roundhouse.E001"}),
        ({"DATABASES": POSTGRES}, {"roundhouse.W001"}),
        ({"DATABASES": POSTGRES, "CELERY_BROKER_URL": "redis://h/0"}, set()),
        ({"DATABASES": SQLITE, "HOST": "0.0.0.0"}, {"roundhouse.W002"}),
        ({"DATABASES": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["example.org"]}, set()),
        (
            {"DATABASES": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["example.org"], "SECRET_KEY": "short"},
            {"roundhouse.E002"},
        ),
        (
            {"DATABASES": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["example.org"], "DEBUG": True},
            {"roundhouse.E003"},
        ),
        ({"DATABASES": SQLITE, "RAY_ADDRESS": "ray://head:10001"}, {"roundhouse.E004"}),
        ({"DATABASES": SQLITE, "RAY_ADDRESS": "http://head:8265"}, set()),
    ],
)
def test_a_wrong_combination_has_an_id_and_a_hint(
    settings: Settings, changed: dict[str, object], expected: set[str]
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    ours = [found for found in run_checks() if str(found.id).startswith("roundhouse.")]
    assert {found.id for found in ours} == expected
    assert all(found.hint for found in ours)
