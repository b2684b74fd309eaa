"""The shapes of the usage page's charts, and what a histogram tells of latencies."""

import pytest

from responses_api.monitor.plot import Block, Series, lines, round_up, stacked
from responses_api.monitor.quantiles import quantile
from responses_api.templatetags.figures import compact, duration

BOUNDS = [100.0, 300.0, 1_000.0, float("inf")]


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 50.0),
        ([0, 10, 0, 0], 0.5, 200.0),
        ([5, 5, 0, 0], 0.5, 100.0),  # exactly the end of a step
        ([90, 0, 10, 0], 0.95, 650.0),
        ([0, 0, 0, 3], 0.5, 1_000.0),  # longer than the last step: its lower end
        ([1, 0, 0, 0], 1.0, 100.0),
    ],
)
def test_a_quantile_is_read_off_the_steps(counts: list[int], share: float, value: float | None) -> None:
    assert quantile(share, counts, BOUNDS) == (pytest.approx(value) if value is not None else None)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0, 1), (0.025, 0.03), (0.2, 0.2), (1, 1), (1.2, 2), (2.5, 3), (5, 5), (7, 8), (9, 10), (10, 10), (1_001, 2_000)],
)
def test_a_scale_ends_at_a_round_number(value: float, rounded: float) -> None:
    assert round_up(value) == pytest.approx(rounded)


def test_series_stand_on_each_other_up_to_a_round_number() -> None:
    drawn = stacked([Series("a", "one", [10, 0]), Series("b", "two", [40, 25])])
    assert drawn.top == 50
    assert [column.blocks for column in drawn.columns] == [
        [Block("one", 80, 20), Block("two", 0, 80)],
        [Block("two", 50, 50)],
    ]
    assert [(column.left, column.width) for column in drawn.columns] == [(0, 500), (500, 500)]


def test_a_line_breaks_where_there_is_no_number() -> None:
    drawn = lines([Series("a", "one", [10, 5, None, 10])])
    assert drawn.lines[0].runs == ["125.00,0.00 375.00,50.00", "812.50,0.00 937.50,0.00"]


def test_a_chart_of_nothing_has_no_shape() -> None:
    assert (stacked([]).columns, lines([]).lines, stacked([Series("a", "one", [0])]).columns[0].blocks) == ([], [], [])
    assert lines([Series("a", "one", [None])]).lines[0].runs == []


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (0.25, "0.25"), (7, "7"), (9_999, "9,999"), (12_345, "12.3 K"), (4_000_000, "4 M"), (2.5e9, "2.5 G")],
)
def test_large_numbers_are_short(number: float, shown: str) -> None:
    assert compact(number) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(None, "-"), (20.4, "20.4 ms"), (1_500, "1.5 s"), (90_000, "90 s"), (300_000, "5 min")]
)
def test_times_have_their_own_unit(milliseconds: float | None, shown: str) -> None:
    assert duration(milliseconds) == shown
