"""The geometry of the usage page's charts: from series of numbers to rectangles and points. Pure.

Every chart is drawn in a box of 1000 by 100 that the browser stretches; labels stay outside, as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from responses_api.monitor.chart import GAP, HEIGHT, WIDTH, polyline


@dataclass(frozen=True)
class Series:
    """One number for each part of the window; None where there is none. The tone names its colour."""

    name: str
    tone: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Block:
    """A rectangle of a bar."""

    tone: str
    top: float
    height: float


@dataclass(frozen=True)
class Column:
    """One part of the window: what is pointed at, and the bar in it."""

    left: float
    width: float
    bar_left: float
    bar_width: float
    blocks: list[Block]


@dataclass(frozen=True)
class Line:
    """A line, in one run of points for each stretch that has numbers."""

    tone: str
    runs: list[str]


@dataclass(frozen=True)
class Plot:
    """The shapes, and where the scale ends."""

    columns: list[Column]
    lines: list[Line]
    top: float


def stacked(series: Sequence[Series]) -> Plot:
    """Return bars in which the series stand on each other, the first at the bottom."""
    parts = len(series[0].values) if series else 0
    top = round_up(max((sum(each.values[part] or 0 for each in series) for part in range(parts)), default=0))
    columns = []
    for part, column in enumerate(_columns(parts)):
        height = 0.0
        for each in series:
            if value := each.values[part]:
                size = value / top * HEIGHT
                height += size
                column.blocks.append(Block(each.tone, round(HEIGHT - height, 2), round(size, 2)))
        columns.append(column)
    return Plot(columns, [], top)


def lines(series: Sequence[Series]) -> Plot:
    """Return a line for each series; it breaks where there is no number."""
    parts = len(series[0].values) if series else 0
    top = round_up(max((value for each in series for value in each.values if value is not None), default=0))
    return Plot(_columns(parts), [Line(each.tone, _runs(each.values, top)) for each in series], top)


def round_up(value: float) -> float:
    """Return the next number of one figure that is not below the value, as 1, 2, 3, 4, 5, 6, 8, 10, 20, …; 1 for
    nothing.
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    step = next(step for step in (1, 2, 3, 4, 5, 6, 8, 10) if value <= step * power * (1 + 1e-9))
    return float(ceil(step * power)) if power >= 1 else step * power


def _columns(parts: int) -> list[Column]:
    width = WIDTH / parts if parts else WIDTH
    return [
        Column(
            left=round(part * width, 2),
            width=round(width, 2),
            bar_left=round((part + GAP / 2) * width, 2),
            bar_width=round((1 - GAP) * width, 2),
            blocks=[],
        )
        for part in range(parts)
    ]


def _runs(values: Sequence[float | None], top: float) -> list[str]:
    width = WIDTH / len(values) if values else WIDTH
    runs: list[list[tuple[float, float]]] = [[]]
    for part, value in enumerate(values):
        if value is not None:
            runs[-1].append((round((part + 0.5) * width, 2), round(HEIGHT - value / top * HEIGHT, 2)))
        elif runs[-1]:
            runs.append([])
    return [polyline(run, width) for run in runs if run]
