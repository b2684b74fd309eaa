"""The admin page of API keys: shown once, renewed by a post, never shown again."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from endpoints import keys
from endpoints.models import ApiKey
from tests.web.surfaces import make_user, signed_in, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    return signed_in(make_user("root", superuser=True))


def shown_key(answer: Any) -> str:
    found = re.search(r'<code class="rh-key">(rh-[0-9a-f]+)</code>', text(answer))
    assert found
    return found.group(1)


def test_a_new_key_is_shown_once(root: Client) -> None:
    added = root.post(reverse("admin:endpoints_apikey_add"), {"name": "ci", "enabled": "on"}, follow=True)
    plain = shown_key(added)
    row = ApiKey.objects.get()
    assert row.digest == keys.digest(plain)
    for page in (reverse("admin:endpoints_apikey_changelist"), reverse("admin:endpoints_apikey_change", args=[row.pk])):
        again = text(root.get(page))
        assert plain not in again
        assert row.digest not in again
        assert row.shown in again


def test_editing_a_key_leaves_it_as_it_is(root: Client) -> None:
    row, plain = ApiKey.issue(name="ci")
    answer = root.post(reverse("admin:endpoints_apikey_change", args=[row.pk]), {"name": "ci-2", "enabled": "on"})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.name, row.digest) == ("ci-2", keys.digest(plain))


def test_a_renewed_key_replaces_the_old_one(root: Client) -> None:
    row, plain = ApiKey.issue(name="ci")
    renewed = shown_key(root.post(reverse("admin:endpoints_apikey_renew", args=[row.pk]), follow=True))
    row.refresh_from_db()
    assert renewed != plain
    assert (row.digest, row.shown) == (keys.digest(renewed), keys.shown(renewed))


def test_a_key_is_renewed_by_a_post_of_who_may_change_it() -> None:
    row, plain = ApiKey.issue(name="ci")
    url = reverse("admin:endpoints_apikey_renew", args=[row.pk])
    viewer = signed_in(make_user("viewer", permissions=["endpoints.view_apikey"]))
    assert viewer.post(url).status_code == 403
    assert "Renew" not in text(viewer.get(reverse("admin:endpoints_apikey_change", args=[row.pk])))
    changer = signed_in(make_user("changer", permissions=["endpoints.change_apikey"]), enforce_csrf_checks=True)
    assert changer.get(url).status_code == 405
    assert changer.post(url).status_code == 403  # no CSRF token
    row.refresh_from_db()
    assert row.digest == keys.digest(plain)
