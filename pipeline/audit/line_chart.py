"""A chart of lines with error bars, beside ``charts``: one line a selector, a share along the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.audit.charts import BOTTOM, LEFT, RIGHT, TALL, TOP, WIDE, Axis, ticks
from pipeline.audit.html import element, number, text

ROOM = 96
"""For the names at the ends of the lines."""
APART = 12
"""Between two names, at least."""


class Value(NamedTuple):
    """A point of a line: its mean, the spread that its error bar shows, and what it says when pointed at."""

    x: float
    mean: float
    spread: float
    label: str


class Line(NamedTuple):
    """A line; ``style`` is its class in the style sheet."""

    name: str
    style: str
    values: Sequence[Value]


class Reference(NamedTuple):
    """A level that all lines are held against."""

    at: float
    label: str


def lines(shown: Sequence[Line], references: Sequence[Reference], x_name: str, y_name: str) -> str:
    """Lines over shares of a whole. The upright axis begins where the lowest error bar does: differences are small."""
    values = [value for line in shown for value in line.values]
    level = [reference.at for reference in references]
    low = min([value.mean - value.spread for value in values] + level, default=0.0)
    high = max([value.mean + value.spread for value in values] + level, default=1.0)
    margin = 0.06 * (high - low)
    x = Axis(0, max((value.x for value in values), default=1.0), LEFT, WIDE - RIGHT - ROOM)
    y = Axis(max(0.0, low - margin), high + margin, TALL - BOTTOM, TOP)
    pieces = [_grid(x, y)]
    for reference in references:
        at = y(reference.at)
        pieces.append(
            f'<line class="mark" x1="{LEFT}" x2="{x.end}" y1="{at}" y2="{at}"/>'
            f'<text class="mark" x="{LEFT + 4}" y="{at - 4}">{text(reference.label)}</text>'
        )
    pieces += [_line(line, x, y) for line in shown]
    pieces.append(_names(shown, x, y))
    pieces.append(
        f'<text class="name" x="{x.end}" y="{TALL - 4}" text-anchor="end">{text(x_name)}</text>'
        f'<text class="name" x="4" y="12">{text(y_name)}</text>'
    )
    title = element("title", text(f"{y_name} against {x_name}, {len(shown)} lines"))
    return (
        f'<svg class="chart" viewBox="0 0 {WIDE} {TALL}" role="img">{title}{"".join(pieces)}</svg>'
    )


def _grid(x: Axis, y: Axis) -> str:
    made = [
        f'<line class="grid" x1="{LEFT}" x2="{x.end}" y1="{y(value)}" y2="{y(value)}"/>'
        f'<text x="{LEFT - 5}" y="{y(value) + 3.5}" text-anchor="end">{number(value)}</text>'
        for value in ticks(y.low, y.high, 5)
    ]
    base = TALL - BOTTOM
    made.append(f'<line class="axis" x1="{LEFT}" x2="{x.end}" y1="{base}" y2="{base}"/>')
    made += [
        f'<text x="{x(value)}" y="{base + 14}" text-anchor="middle">{100 * value:.0f}%</text>'
        for value in ticks(x.low, x.high, 6)
    ]
    return "".join(made)


def _line(line: Line, x: Axis, y: Axis) -> str:
    places = " ".join(f"{x(value.x)},{y(value.mean)}" for value in line.values)
    made = [f'<polyline class="path" points="{places}"/>']
    for value in line.values:
        at, top, foot = x(value.x), y(value.mean + value.spread), y(value.mean - value.spread)
        made.append(f'<line class="error" x1="{at}" x2="{at}" y1="{top}" y2="{foot}"/>')
        made.append(
            f'<circle class="point" cx="{at}" cy="{y(value.mean)}" r="3">'
            f"{element('title', text(value.label))}</circle>"
        )
    return element("g", "".join(made), class_=f"line {line.style}")


def _names(shown: Sequence[Line], x: Axis, y: Axis) -> str:
    """The lines' names beside the chart, in the order of their ends, each below the one before; a dot's beside it."""
    made = [
        f'<text class="end {line.style}" x="{x(line.values[0].x) + 7}" y="{y(line.values[0].mean) + 3.5}">'
        f"{text(line.name)}</text>"
        for line in shown
        if len(line.values) == 1
    ]
    ends = sorted(
        ((y(line.values[-1].mean), line) for line in shown if len(line.values) > 1),
        key=lambda end: end[0],
    )
    for at, (_, line) in zip(stacked([end for end, _ in ends]), ends, strict=True):
        made.append(
            f'<text class="end {line.style}" x="{x.end + 7}" y="{at + 3.5}">{text(line.name)}</text>'
        )
    return "".join(made)


def stacked(heights: Sequence[float]) -> list[float]:
    """Heights, ascending, moved as little as keeps them apart and in the picture; from the top down where they are
    too many for it.
    """
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + APART if placed else float(TOP)))
    limit = float(TALL - BOTTOM)
    for place in reversed(range(len(placed))):
        placed[place] = max(min(placed[place], limit), TOP + APART * place)
        limit = placed[place] - APART
    return placed
