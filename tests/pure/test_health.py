import datetime as dt

import pytest

from endpoints.health import FAILURES_TO_UNHEALTHY, Health, Standing, judge
from endpoints.models import Endpoint

THEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NOW = THEN + dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("before", "failures", "problem", "after", "since", "left"),
    [
        (Health.UNKNOWN, 0, "", Health.HEALTHY, NOW, 0),
        (Health.UNKNOWN, 0, "x", Health.UNKNOWN, THEN, 1),
        (Health.UNKNOWN, 1, "x", Health.UNHEALTHY, NOW, 2),
        (Health.HEALTHY, 0, "", Health.HEALTHY, THEN, 0),
        (Health.HEALTHY, 0, "x", Health.HEALTHY, THEN, 1),
        (Health.HEALTHY, 1, "", Health.HEALTHY, THEN, 0),
        (Health.HEALTHY, 1, "x", Health.UNHEALTHY, NOW, 2),
        (Health.UNHEALTHY, 2, "x", Health.UNHEALTHY, THEN, 3),
        (Health.UNHEALTHY, 9, "", Health.HEALTHY, NOW, 0),
    ],
)
def test_the_thresholds(
    before: Health, failures: int, problem: str, after: Health, since: dt.datetime, left: int
) -> None:
    assert judge(Standing(before, "", THEN, failures), problem=problem, now=NOW) == Standing(
        after, problem, since, left
    )


def test_two_failures_in_a_row_are_needed() -> None:
    assert FAILURES_TO_UNHEALTHY == 2


def test_the_model_knows_the_same_words() -> None:
    assert set(Endpoint.Health.values) == set(Health)


def test_a_reason_fits_its_column() -> None:
    reason = judge(Standing(Health.HEALTHY, "", None, 0), problem="x" * 9999, now=NOW).reason
    assert len(reason) == Endpoint._meta.get_field("health_reason").max_length
