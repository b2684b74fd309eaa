"""Rows and callers that the tests of the admin, the control API and the monitoring page start from."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from launcher.models import Engine
from launcher.states import Desired, State
from responses_api.ledger import usage
from responses_api.models import ResponseRecord

JSON = "application/json"


def make_user(name: str, *, staff: bool = True, superuser: bool = False, permissions: Iterable[str] = ()) -> User:
    """Return a user with these permissions, each as app.codename."""
    user = User.objects.create_user(name, password="pass-word-42", is_staff=staff, is_superuser=superuser)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def signed_in(user: User, *, enforce_csrf_checks: bool = False) -> Client:
    """Return a browser of that user."""
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    client.force_login(user)
    return client


def control_client(**fields: Any) -> Client:
    """Return a script's client with a control key."""
    _, plain = ApiKey.issue(**{"name": f"key-{ApiKey.objects.count()}", "scope_control": True, **fields})
    return Client(headers={"authorization": f"Bearer {plain}"})


def make_endpoint(name: str = "gpu-1", **fields: Any) -> Endpoint:
    """Return an endpoint."""
    return Endpoint.objects.create(**{"name": name, "base_url": f"http://{name}:8000/v1", **fields})


def make_engine(name: str = "tiny", **fields: Any) -> Engine:
    """Return a stopped engine."""
    return Engine.objects.create(**{"name": name, "model": "org/model", **fields})


def put_in_state(engine: Engine, state: State, desired: Desired = Desired.RUNNING, **fields: Any) -> Engine:
    """Return the engine as the reconciler would have left it."""
    Engine.objects.filter(pk=engine.pk).update(state=state, desired_state=desired, **fields)
    engine.refresh_from_db()
    return engine


def make_profile(name: str = "tiny", **fields: Any) -> ConfigProfile:
    """Return a profile with an empty pool."""
    return ConfigProfile.objects.create(name=name, **fields)


def record(*, ago: timedelta = timedelta(minutes=1), at: datetime | None = None, **fields: Any) -> ResponseRecord:
    """Return a ledger row of an answer that held text, unless the fields say otherwise."""
    count = ResponseRecord.objects.count()
    values = {
        "response_id": f"resp_{count}",
        "api": "responses",
        "profile_name": "tiny",
        "endpoint_name": "gpu-1",
        "caller_name": "quickstart",
        "status": ResponseRecord.Status.COMPLETED,
        "http_status": 200,
        "duration_ms": 120,
        "created_at": at or timezone.now() - ago,
    }
    found = ResponseRecord.objects.create(**{**values, **fields})
    with connection.cursor() as cursor:
        usage.count(cursor, [found])
    return found


def text(answer: Any) -> str:
    """Return a page as text."""
    return str(answer.content.decode())


def errors(answer: Any) -> dict[str, list[str]]:
    """Return the errors of an admin page's form, by field."""
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}
