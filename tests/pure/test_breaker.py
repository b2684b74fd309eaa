"""When endpoints are left alone, and how requests are asked again."""

from datetime import UTC, datetime, timedelta

import pytest

from responses_api.breaker import (
    FAILURES_TO_OPEN,
    PAUSES,
    STALLED_TRIAL_SECONDS,
    TRIAL_SECONDS,
    Cause,
    Circuit,
    Streaks,
    opened,
)
from responses_api.retries import MAX_PAUSE, RetryBudget, pause, told_seconds

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_only_failures_in_a_row_of_one_kind_are_too_many() -> None:
    streaks = Streaks()
    for _ in range(5):
        assert [streaks.failed(1, Cause.UNREACHABLE) for _ in range(FAILURES_TO_OPEN - 1)] == [False, False]
        assert not streaks.failed(1, Cause.STALLED)
        assert not streaks.failed(2, Cause.UNREACHABLE)
        for endpoint in (1, 2):
            streaks.ended(endpoint, Cause.UNREACHABLE)
            streaks.ended(endpoint, Cause.STALLED)
    assert [streaks.failed(1, Cause.STALLED) for _ in range(FAILURES_TO_OPEN)] == [False, False, True]


def test_each_trial_that_fails_makes_the_next_pause_longer_up_to_a_limit() -> None:
    circuit: Circuit | None = None
    waits = []
    for _ in range(len(PAUSES) + 2):
        circuit = opened(circuit, cause=Cause.UNREACHABLE, reason="refused", now=NOW)
        waits.append((circuit.until - NOW).total_seconds())
    assert waits == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    assert circuit is not None
    assert not circuit.is_due(NOW)
    assert circuit.is_due(circuit.until)


@pytest.mark.parametrize(
    ("cause", "seconds"), [(Cause.UNREACHABLE, TRIAL_SECONDS), (Cause.STALLED, STALLED_TRIAL_SECONDS)]
)
def test_while_one_tries_nobody_else_does(cause: Cause, seconds: float) -> None:
    circuit = opened(None, cause=cause, reason="silent", now=NOW)
    due = circuit.until
    tried = circuit.tried(due)
    assert not tried.is_due(due)
    assert tried.is_due(due + timedelta(seconds=seconds))
    assert not tried.is_due(due + timedelta(seconds=seconds - 1))
    assert (tried.cause, tried.trips) == (circuit.cause, 1)


def test_what_cost_an_engine_something_is_paid_for() -> None:
    budget = RetryBudget(share=0.5, burst=3)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    for _ in range(100):
        budget.earn()
    assert sum(budget.spend() for _ in range(10)) == 3


@pytest.mark.parametrize(
    ("rounds", "chance", "told", "expected"),
    [
        (0, 0, None, 0.01),
        (0, 1, None, 0.05),
        (0, 0, 7.0, 0.01),  # another engine did not ask for it
        (1, 0, None, 0.2),
        (1, 1, None, 0.6),
        (2, 0, None, 0.4),
        (9, 1, None, MAX_PAUSE),
        (1, 0, 7.0, 7.0),
        (1, 1, 0.1, 0.6),
    ],
)
def test_pauses(rounds: int, chance: float, told: float | None, expected: float) -> None:
    assert pause(rounds, chance, told=told) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("7", 7),
        (" 7 ", 7),
        ("-1", None),
        ("1e9", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("²", None),
    ],
)
def test_what_engines_ask_for(header: str, seconds: float | None) -> None:
    assert told_seconds(header) == seconds
