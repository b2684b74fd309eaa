"""How far a start is: in the control API, the admin and on the command line."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from launcher.models import Engine
from launcher.states import State
from tests.web.surfaces import control_client, make_engine, make_user, put_in_state, signed_in, text

pytestmark = pytest.mark.django_db

NUMBERS = {
    "stage": "loading weights",
    "percent": 50.0,
    "done": 2.0,
    "total": 4.0,
    "unit": "shards",
    "eta_seconds": None,
}
PHASE = "loading weights, shard 2 of 4 (50 %)"


@pytest.fixture
def engine() -> Engine:
    """An engine that loads weights."""
    return put_in_state(
        make_engine(startup_timeout_seconds=600),
        State.STARTING,
        generation=1,
        base_url="http://127.0.0.1:9",
        state_since=datetime(2026, 1, 1, 12, tzinfo=UTC),
        phase=PHASE,
        progress={**NUMBERS, "begun": [0, 0]},
    )


def test_the_api_has_the_stage_the_numbers_and_the_deadline(engine: Engine) -> None:
    shown = control_client().get("/api/v1/engines/tiny/").json()
    assert (shown["phase"], shown["progress"]) == (PHASE, NUMBERS)
    assert shown["startup_deadline"] == "2026-01-01T12:10:00Z"
    put_in_state(engine, State.READY, progress={}, phase="")
    shown = control_client().get("/api/v1/engines/tiny/").json()
    assert (shown["progress"], shown["startup_deadline"]) == (None, None)


def test_the_admin_has_a_bar_and_the_deadline(engine: Engine) -> None:
    root = signed_in(make_user("root", superuser=True))
    bar = '<progress class="rh-progress" max="100" value="50.0" aria-label="loading weights">'
    page = text(root.get(reverse("admin:launcher_engine_change", args=[engine.pk])))
    assert bar in page
    assert PHASE in page
    assert "2026-01-01 12:10:00 UTC" in page
    assert bar in text(root.get(reverse("admin:index")))
    put_in_state(engine, State.READY, progress={}, phase="")
    assert "<progress" not in text(root.get(reverse("admin:launcher_engine_change", args=[engine.pk])))


def test_the_command_line_has_them_too(engine: Engine) -> None:
    make_engine("other")
    said = StringIO()
    call_command("engines", stdout=said)
    assert said.getvalue().splitlines() == [
        "other  stopped (wanted: stopped)  ",
        f"tiny  starting (wanted: running)  {PHASE}  [to be ready by 12:10:00 UTC]",
    ]
