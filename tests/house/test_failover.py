"""The page about failover is compared with the settings and the numbers that it names."""

import re
from typing import Any

from controlplane import settings
from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api import breaker, directory, limits, retries, vigil
from tests.house.test_docs import ROOT, table_rows

PAGE = (ROOT / "docs/explanation/failover.md").read_text()
MODELS: dict[str, Any] = {"profile": ConfigProfile, "endpoint": Endpoint, "key": ApiKey}
MODULES = {"breaker": breaker, "directory": directory, "limits": limits, "retries": retries, "vigil": vigil}


def test_every_setting_is_there_with_its_default() -> None:
    for where, name, default in table_rows(PAGE, "Settings"):
        if where == "environment":
            assert settings.READER.seen[name] == default
            continue
        field = MODELS[where]._meta.get_field(name)
        assert default == (str(field.default) if field.has_default() else "none"), name


def test_every_number_is_the_codes() -> None:
    for name, shown, _ in table_rows(PAGE, "Numbers"):
        module, _, constant = name.partition(".")
        value = getattr(MODULES[module], constant)
        assert [float(each) for each in shown.split(",")] == [*(value if isinstance(value, tuple) else [value])], name


def test_the_budget_without_a_setting_is_that_of_the_settings() -> None:
    assert (retries.RETRY_BURST, retries.RETRY_SHARE) == (settings.RETRY_BURST, settings.RETRY_SHARE)


def test_every_fault_has_a_test_that_exists() -> None:
    rows = table_rows(PAGE, "Faults, and the tests that make them")
    assert len(rows) > 20
    for _, test in rows:
        path, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_patience_without_a_profile_is_that_of_a_new_one() -> None:
    profile = ConfigProfile()
    assert retries.Patience() == retries.Patience(
        total=profile.request_timeout_seconds,
        connect=profile.connect_timeout_seconds,
        first_byte=profile.first_byte_timeout_seconds,
        idle=profile.idle_timeout_seconds,
        hold=profile.hold_seconds,
        max_attempts=profile.max_attempts,
    )
