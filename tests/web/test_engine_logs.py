"""Logs of launches in the control API and the admin."""

import asyncio
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from launcher import places
from launcher.models import Engine, EngineEvent
from launcher.states import State
from tests.web.surfaces import control_client, make_engine, make_user, put_in_state, signed_in, text

pytestmark = pytest.mark.django_db

LOGS = "/api/v1/engines/tiny/logs/"


@pytest.fixture
def engine() -> Engine:
    """An engine of two launches that failed."""
    engine = put_in_state(make_engine(), State.FAILED, generation=2, state_since=timezone.now())
    for attempt in (1, 2):
        EngineEvent.objects.create(engine=engine, generation=attempt, old="pending", new="starting")
        EngineEvent.objects.create(
            engine=engine, generation=attempt, old="starting", new="failed", reason=f"Cause {attempt}."
        )
        places.of_this_host().save_log("tiny", attempt, f"launch {attempt}\nAn Error\nlast line\n")
    return engine


def body(answer: Any) -> str:
    content: bytes = answer.content
    return content.decode()


def test_a_log_is_shown_searched_and_downloaded(engine: Engine) -> None:
    api = control_client()
    shown = api.get(LOGS)
    assert (shown["content-type"], body(shown)) == ("text/plain; charset=utf-8", "launch 2\nAn Error\nlast line\n")
    assert body(api.get(LOGS, {"attempt": "1", "search": "error"})) == "An Error\n"
    assert body(api.get(LOGS, {"attempt": "1", "search": "launch"})) == "launch 1\n"
    saved = api.get(LOGS, {"attempt": "1", "download": "1"})
    assert saved["content-disposition"] == 'attachment; filename="tiny-1.log"'


@pytest.mark.parametrize("attempt", ["0", "3", "x", "-1", "1.5", "9" * 5000])
def test_a_launch_that_was_not_is_a_400(engine: Engine, attempt: str) -> None:
    answer = control_client().get(LOGS, {"attempt": attempt})
    assert (answer.status_code, answer.json()) == (400, {"attempt": ["There are launches 1 to 2."]})


def test_the_page_of_a_launch_that_was_not_shows_the_newest(engine: Engine) -> None:
    page = reverse("admin:launcher_engine_live_log", args=[engine.pk])
    root = signed_in(make_user("root", superuser=True))
    for attempt in ("7", "9" * 5000):
        assert "launch 2" in text(root.get(page, {"attempt": attempt}))


def test_an_engine_that_was_never_launched_says_so() -> None:
    make_engine()
    assert control_client().get(LOGS).json() == {"attempt": ["It was never launched."]}


def test_attempts_are_listed_with_their_cause(engine: Engine) -> None:
    newest, oldest = control_client().get("/api/v1/engines/tiny/attempts/").json()
    assert (newest["attempt"], newest["outcome"], newest["cause"]) == (2, "failed", "Cause 2.")
    assert (oldest["attempt"], oldest["cause"], oldest["log_bytes"]) == (1, "Cause 1.", 28)
    assert engine.generation == 2


def test_a_log_that_is_over_is_followed_to_its_end(engine: Engine) -> None:
    answer: Any = control_client().get(LOGS, {"follow": "1", "attempt": str(engine.generation)})

    async def collected() -> list[bytes]:
        return [chunk async for chunk in answer.streaming_content]

    assert asyncio.run(collected()) == [b"launch 2\nAn Error\nlast line\n"]


def test_the_page_lists_launches_and_links_their_logs(engine: Engine) -> None:
    staff = signed_in(make_user("ann", permissions=["launcher.view_engine"]))
    shown = text(staff.get(reverse("admin:launcher_engine_change", args=[engine.pk])))
    url = reverse("admin:launcher_engine_log", args=[engine.pk, 1])
    assert "Cause 1." in shown
    assert url in shown
    assert body(staff.get(url)).startswith("launch 1\n")
    assert staff.get(reverse("admin:launcher_engine_log", args=[engine.pk, 9])).status_code == 404
    assert staff.get(reverse("admin:launcher_engine_log", args=[999, 1])).status_code == 404
    assert signed_in(make_user("eve")).get(url).status_code == 403
    assert Client().get(url).status_code == 302
