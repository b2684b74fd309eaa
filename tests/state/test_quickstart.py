"""What `make run` prepares is made once and kept."""

import json
import stat

import pytest
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model

from controlplane import quickstart
from endpoints import keys
from endpoints.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_data_dir() -> None:
    settings.DATA_DIR.prepare()
    settings.DATA_DIR.quickstart.unlink(missing_ok=True)


def test_the_facts_hold() -> None:
    facts = quickstart.facts(model="tiny")
    assert authenticate(username=facts.admin_username, password=facts.admin_password) is not None
    assert ApiKey.objects.get(digest=keys.digest(facts.api_key)).scope_gateway
    assert facts.url == "http://127.0.0.1:8080"


def test_a_second_run_keeps_password_and_key() -> None:
    first = quickstart.facts(model="tiny")
    first.save(settings.DATA_DIR)
    assert quickstart.facts(model="tiny") == first


def test_without_the_file_new_ones_are_made() -> None:
    first = quickstart.facts(model="tiny")
    second = quickstart.facts(model="tiny")
    assert second.admin_password != first.admin_password
    assert second.api_key != first.api_key
    assert authenticate(username="admin", password=second.admin_password) is not None


def test_a_password_that_was_changed_in_the_admin_is_left_alone() -> None:
    quickstart.facts(model=None).save(settings.DATA_DIR)
    admin = get_user_model().objects.get(username="admin")
    admin.set_password("chosen by a person")
    admin.save(update_fields=["password"])
    facts = quickstart.facts(model=None)
    assert authenticate(username="admin", password="chosen by a person") is not None
    assert facts.admin_password == ""
    assert "as you set it" in quickstart.how_to_call(facts)
    facts.save(settings.DATA_DIR)
    assert quickstart.facts(model=None) == facts


@pytest.mark.parametrize("content", ["", "[]", "{", '{"admin_password": 1}'])
def test_a_damaged_file_is_as_good_as_none(content: str) -> None:
    settings.DATA_DIR.quickstart.write_text(content)
    facts = quickstart.facts(model=None)
    assert authenticate(username="admin", password=facts.admin_password) is not None


def test_the_file_is_its_owners_alone_and_holds_exactly_the_facts() -> None:
    quickstart.facts(model="tiny").save(settings.DATA_DIR)
    path = settings.DATA_DIR.quickstart
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())) == {"url", "admin_username", "admin_password", "api_key", "model"}


def test_the_printed_calls_name_the_url_the_key_and_the_model() -> None:
    facts = quickstart.facts(model="tiny")
    printed = quickstart.how_to_call(facts)
    assert f"curl {facts.url}/v1/responses" in printed
    assert f'base_url="{facts.url}/v1", api_key="{facts.api_key}"' in printed
    assert facts.admin_password in printed


def test_without_an_engine_no_call_is_printed() -> None:
    assert "curl" not in quickstart.how_to_call(quickstart.facts(model=None))
