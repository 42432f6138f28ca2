"""Charts as inline SVG: plain text, coloured by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tamis.pipeline.audit.reading.distributions import Histogram
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.html import element, text

WIDTH, HEIGHT = 360, 180
WIDE, TALL = 520, 260
"""Of a scatter plot and of lines."""
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 22, 34
"""Margins around the plot, in the same units: the numbers of the axes stand there."""
ROOM = 96
"""For the names at the ends of the lines."""
APART = 12
"""Between two such names, at least."""


class Mark(NamedTuple):
    """A threshold, or a level that lines are held against: where it stands, and how it is called."""

    at: float
    label: str


class Point(NamedTuple):
    """A dot of a scatter plot and what it says when pointed at."""

    x: float
    y: float
    label: str


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


class Axis:
    """From values to positions in the picture."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high if high > low else low + 1
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Position of a value; outside the axis it is the end."""
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 2)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((m for m in (1, 2, 5, 10) if m * power >= raw), default=10)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _short(value: float) -> str:
    """12000 as 12k."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0):
            return f"{value / size:g}{unit}"
    return number(value)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def bar(parts: Sequence[tuple[str, float]], whole: float) -> str:
    """A bar as wide as its place, cut into parts: (class, amount) of ``whole``."""
    at, pieces = 0.0, []
    for style, amount in parts:
        width = 1000 * amount / whole if whole else 0
        if width > 0:
            # What is there must be seen, however few.
            wide = round(max(width, 2), 2)
            pieces.append(
                f'<rect class="{style}" x="{min(at, 998):.2f}" y="0" width="{wide}" height="10"/>'
            )
        at += width
    whole_bar = {"preserveAspectRatio": "none", "aria_hidden": "true"}
    return element("svg", "".join(pieces), class_="bar", viewBox="0 0 1000 10", **whole_bar)


def histogram(shown: Histogram, marks: Sequence[Mark], name: str) -> str:
    """Bars of kept on top of dropped, and the thresholds as lines."""
    x = Axis(shown.low, shown.high, LEFT, WIDTH - RIGHT)
    highest = max((kept + dropped for kept, dropped in shown.bins), default=0)
    y = Axis(0, highest, HEIGHT - BOTTOM, TOP)
    width = (x.end - x.start) / max(len(shown.bins), 1)
    pieces = [_across(x, y, [count for count in ticks(0, y.high, 4) if float(count).is_integer()])]
    for number_, (kept, dropped) in enumerate(shown.bins):
        left = round(x.start + number_ * width, 2)
        wide = round(max(width - 0.6, 0.4), 2)
        for style, bottom, top in (("kept", 0, kept), ("dropped", kept, kept + dropped)):
            if top > bottom:
                high = round(y(bottom) - y(top), 2)
                pieces.append(
                    f'<rect class="{style}" x="{left}" y="{y(top)}" width="{wide}" height="{high}"/>'
                )
    pieces.append(_below(x, y, ticks(x.low, x.high)))
    pieces += [_mark(x, mark) for mark in marks]
    title = f"Distribution of {name}: {shown.total:,} samples"
    return _chart(title, "".join(pieces), WIDTH, HEIGHT)


def scatter(points: Sequence[Point], x_name: str, y_name: str, y_share: bool = False) -> str:
    """One dot a point; both axes begin at 0 where that leaves the points their room."""
    xs = [point.x for point in points] or [0.0]
    low = 0.0 if min(xs) < 0.5 * max(xs) else min(xs)
    x = Axis(low, max(xs), LEFT, WIDE - RIGHT)
    highest = 1 if y_share else max((point.y for point in points), default=1)
    y = Axis(0, highest, TALL - BOTTOM, TOP)
    dots = "".join(_dot("dot", x(point.x), y(point.y), point.label) for point in points)
    grid = _across(x, y, ticks(0, y.high, 4), _percent if y_share else _short)
    grid += _below(x, y, ticks(x.low, x.high))
    title = f"{y_name} against {x_name}, {len(points):,} concepts"
    return _chart(title, grid + dots + _names(x, x_name, y_name))


def lines(shown: Sequence[Line], references: Sequence[Mark], x_name: str, y_name: str) -> str:
    """Lines over shares of a whole. The upright axis begins where the lowest error bar does: differences are small."""
    values = [value for line in shown for value in line.values]
    level = [reference.at for reference in references]
    low = min([value.mean - value.spread for value in values] + level, default=0.0)
    high = max([value.mean + value.spread for value in values] + level, default=1.0)
    margin = 0.06 * (high - low)
    x = Axis(0, max((value.x for value in values), default=1.0), LEFT, WIDE - RIGHT - ROOM)
    y = Axis(max(0.0, low - margin), high + margin, TALL - BOTTOM, TOP)
    pieces = [
        _across(x, y, ticks(y.low, y.high), number),
        _below(x, y, ticks(x.low, x.high, 6), _percent),
    ]
    for reference in references:
        at = y(reference.at)
        pieces.append(
            f'<line class="mark" x1="{LEFT}" x2="{x.end}" y1="{at}" y2="{at}"/>'
            f'<text class="mark" x="{LEFT + 4}" y="{at - 4}">{text(reference.label)}</text>'
        )
    pieces += [_line(line, x, y) for line in shown]
    pieces += [_ends(shown, x, y), _names(x, x_name, y_name)]
    return _chart(f"{y_name} against {x_name}, {len(shown)} lines", "".join(pieces))


def _line(line: Line, x: Axis, y: Axis) -> str:
    places = " ".join(f"{x(value.x)},{y(value.mean)}" for value in line.values)
    made = [f'<polyline class="path" points="{places}"/>']
    for value in line.values:
        at, top, foot = x(value.x), y(value.mean + value.spread), y(value.mean - value.spread)
        made.append(f'<line class="error" x1="{at}" x2="{at}" y1="{top}" y2="{foot}"/>')
        made.append(_dot("point", at, y(value.mean), value.label))
    return element("g", "".join(made), class_=f"line {line.style}")


def _ends(shown: Sequence[Line], x: Axis, y: Axis) -> str:
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


def _across(
    x: Axis, y: Axis, values: Sequence[float], said: Callable[[float], str] = _short
) -> str:
    """A line for each value of the upright axis, and the value beside it."""
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{x.end}" y1="{y(value)}" y2="{y(value)}"/>'
        f'<text x="{LEFT - 5}" y="{y(value) + 3.5}" text-anchor="end">{said(value)}</text>'
        for value in values
    )


def _below(x: Axis, y: Axis, values: Sequence[float], said: Callable[[float], str] = _short) -> str:
    """The axis along the bottom and its values."""
    line = f'<line class="axis" x1="{LEFT}" x2="{x.end}" y1="{y.start}" y2="{y.start}"/>'
    return line + "".join(
        f'<text x="{x(value)}" y="{y.start + 14}" text-anchor="middle">{said(value)}</text>'
        for value in values
    )


def _names(x: Axis, x_name: str, y_name: str) -> str:
    return (
        f'<text class="name" x="{x.end}" y="{TALL - 4}" text-anchor="end">{text(x_name)}</text>'
        f'<text class="name" x="4" y="12">{text(y_name)}</text>'
    )


def _mark(x: Axis, mark: Mark) -> str:
    at = x(mark.at)
    side = "end" if at > WIDTH / 2 else "start"
    beside = at - 4 if side == "end" else at + 4
    return (
        f'<line class="mark" x1="{at}" x2="{at}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="mark" x="{beside}" y="{TOP - 5}" text-anchor="{side}">{text(mark.label)}</text>'
    )


def _dot(style: str, x: float, y: float, label: str) -> str:
    return element("circle", element("title", text(label)), class_=style, cx=x, cy=y, r=3)


def _chart(title: str, inside: str, width: int = WIDE, height: int = TALL) -> str:
    inside = element("title", text(title)) + inside
    return element("svg", inside, class_="chart", viewBox=f"0 0 {width} {height}", role="img")
