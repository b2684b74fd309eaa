"""Settings that are each fine and wrong together are found, with an id and a hint."""

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

POSTGRES = "django.db.backends.postgresql"
SQLITE = "django.db.backends.sqlite3"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ENGINE": SQLITE}, set()),
        ({"ENGINE": SQLITE, "CELERY_BROKER_URL": "redis://h/0"}, {"roundhouse.E001"}),
        ({"ENGINE": POSTGRES}, {"roundhouse.W001"}),
        ({"ENGINE": POSTGRES, "CELERY_BROKER_URL": "redis://h/0"}, set()),
        ({"ENGINE": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["localhost"]}, {"roundhouse.W002"}),
        ({"ENGINE": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["example.org"]}, set()),
        (
            {"ENGINE": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["example.org"], "SECRET_KEY": "short"},
            {"roundhouse.E002"},
        ),
        (
            {"ENGINE": SQLITE, "HOST": "0.0.0.0", "ALLOWED_HOSTS": ["example.org"], "DEBUG": True},
            {"roundhouse.E003"},
        ),
        ({"ENGINE": SQLITE, "RAY_ADDRESS": "ray://head:10001"}, {"roundhouse.E004"}),
        ({"ENGINE": SQLITE, "RAY_ADDRESS": "http://head:8265"}, set()),
    ],
)
def test_a_wrong_combination_has_an_id_and_a_hint(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], expected: set[str]
) -> None:
    for name, value in changed.items():
        if name == "ENGINE":
            monkeypatch.setitem(settings.DATABASES["default"], name, value)
        else:
            setattr(settings, name, value)
    ours = [found for found in run_checks() if str(found.id).startswith("roundhouse.")]
    assert {found.id for found in ours} == expected
    assert all(found.hint for found in ours)
