"""Reads of engines that more than one caller needs."""

import datetime as dt

from django.db.models import Max, QuerySet

from launcher.models import Engine
from launcher.states import Desired, State


def to_visit() -> QuerySet[Engine]:
    """Return the engines that the reconciler looks at: all but those that are stopped, and are to be."""
    return Engine.objects.exclude(state=State.STOPPED, desired_state=Desired.STOPPED)


def newest_state_since() -> dt.datetime | None:
    """Return when the last move of any engine was; None if there is no engine."""
    newest: dt.datetime | None = Engine.objects.aggregate(newest=Max("state_since"))["newest"]
    return newest


def is_to_launch(engine: Engine) -> bool:
    """Return whether this attempt is still the one to launch. Asked again right before it is."""
    same = Engine.objects.filter(pk=engine.pk, generation=engine.generation)
    return same.filter(state=State.PENDING, desired_state=Desired.RUNNING).exists()


def is_current(engine: Engine) -> bool:
    """Return whether this attempt is one that the reconciler still looks after."""
    return to_visit().filter(pk=engine.pk, generation=engine.generation).exists()


def base_urls() -> list[str]:
    """Return where attempts run, or are about to."""
    return list(Engine.objects.exclude(base_url="").values_list("base_url", flat=True))
