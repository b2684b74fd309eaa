"""The geometry of the monitoring page's chart: from counts to rectangles and points. Pure.

Both panels are drawn in a box of 1000 by 100 that the browser stretches; labels stay outside, as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

WIDTH = 1000.0
HEIGHT = 100.0
GAP = 0.25  # of a bar's width


class Part(Protocol):
    """What one bar shows."""

    @property
    def start(self) -> datetime:
        """When the part begins."""

    @property
    def answers(self) -> int:
        """All of its answers."""

    @property
    def empties(self) -> int:
        """Those without text."""

    @property
    def rate(self) -> float:
        """The empty share, from 0 to 1."""


@dataclass(frozen=True)
class Bar:
    """One part of the window: the rectangle of its count, and the column that is pointed at."""

    part: Part
    left: float
    width: float
    top: float
    height: float
    column_left: float
    column_width: float


@dataclass(frozen=True)
class Chart:
    """Both panels. `lines` is the rate: the points of one line for each run of parts that have answers."""

    bars: list[Bar]
    lines: list[str]
    most: int
    highest_rate: float


def draw(parts: Sequence[Part]) -> Chart:
    """Return the shapes. The count's scale ends at the highest bar, the rate's at a round share above the highest."""
    column = WIDTH / len(parts) if parts else WIDTH
    most = max((part.empties for part in parts), default=0)
    highest = _round_up(max((part.rate for part in parts), default=0.0))
    bars = [
        Bar(
            part=part,
            left=round((index + GAP / 2) * column, 2),
            width=round(column * (1 - GAP), 2),
            top=round(HEIGHT - _share(part.empties, most) * HEIGHT, 2),
            height=round(_share(part.empties, most) * HEIGHT, 2),
            column_left=round(index * column, 2),
            column_width=round(column, 2),
        )
        for index, part in enumerate(parts)
    ]
    runs: list[list[tuple[float, float]]] = [[]]
    for index, part in enumerate(parts):
        if part.answers:
            runs[-1].append((round((index + 0.5) * column, 2), round(HEIGHT - part.rate / highest * HEIGHT, 2)))
        elif runs[-1]:
            runs.append([])
    return Chart(bars, [polyline(run, column) for run in runs if run], most, highest)


def polyline(run: list[tuple[float, float]], column: float) -> str:
    """Return the points of one line, over columns of this width."""
    if len(run) == 1:  # alone, a point would be no line: draw it as wide as half of its bar
        x, y = run[0]
        run = [(x - column / 4, y), (x + column / 4, y)]
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in run)


def _share(value: int, most: int) -> float:
    return value / most if most else 0.0


def _round_up(rate: float) -> float:
    return next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if rate <= step)
