"""Charts as inline SVG: plain text, coloured by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tamis.pipeline.audit.reading.distributions import Histogram
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.html import element, text

WIDTH, HEIGHT = 360, 180
"""Size of a histogram, in units of the SVG's view box."""
WIDE, TALL = 520, 260
"""Size of a scatter plot and of a line chart, in the same units."""
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 22, 34
"""Margins around the plot, in the same units; they hold the numbers of the axes."""
ROOM = 96
"""Width of the names at the ends of lines, in the same units."""
APART = 12
"""Distance between two such names, at least, in the same units."""


class Mark(NamedTuple):
    """A threshold or reference level: its value and its label."""

    at: float
    label: str


class Point(NamedTuple):
    """A dot of a scatter plot; ``label`` is its tooltip."""

    x: float
    y: float
    label: str


class Value(NamedTuple):
    """A point of a line, with the half-length of its error bar; ``label`` is its tooltip."""

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
    """Linear map from values to positions in the picture."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high if high > low else low + 1
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Position of a value; values beyond the axis get the position of its end."""
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 2)


class LogAxis(Axis):
    """Map of positive values by their logarithms."""

    def __call__(self, value: float) -> float:
        """As of ``Axis``."""
        within = min(max(value, self.low), self.high)
        part = math.log(within / self.low) / math.log(self.high / self.low)
        return round(self.start + part * (self.end - self.start), 2)

    def powers(self) -> list[float]:
        """The powers of ten on it."""
        exponents = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
        return [10.0**exponent for exponent in exponents]


STYLES = 8
"""Number of line colours in the style sheet; lines take them in turn."""


def style(index: int) -> str:
    """CSS class of the line at an index; after ``STYLES`` lines the colours come again, dashed."""
    return f"s{index % STYLES}{' again' if index >= STYLES else ''}"


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
    """A number in short: 12000 as 12k."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0):
            return f"{value / size:g}{unit}"
    return number(value)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def bar(parts: Sequence[tuple[str, float]], whole: float) -> str:
    """A bar of full width, cut into parts: (class, amount) of ``whole``."""
    at, pieces = 0.0, []
    for style, amount in parts:
        width = 1000 * amount / whole if whole else 0
        if width > 0:
            # Even one sample gets a visible bar.
            wide = round(max(width, 2), 2)
            pieces.append(
                f'<rect class="{style}" x="{min(at, 998):.2f}" y="0" width="{wide}" height="10"/>'
            )
        at += width
    whole_bar = {"preserveAspectRatio": "none", "aria_hidden": "true"}
    return element("svg", "".join(pieces), class_="bar", viewBox="0 0 1000 10", **whole_bar)


def histogram(shown: Histogram, marks: Sequence[Mark], name: str) -> str:
    """A histogram: bars of kept samples below dropped ones, and the thresholds as lines."""
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
    """A scatter plot. The y axis begins at 0, and so does the x axis if a point lies in its lower half."""
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


def lines(
    shown: Sequence[Line],
    references: Sequence[Mark],
    x_name: str,
    y_name: str,
    named: bool = True,
) -> str:
    """A line chart over shares. The upright axis begins at the lowest error bar: differences are small.

    Lines that are not ``named`` at their ends need a ``key``; their chart is narrow enough for the screen of a phone.
    """
    values = [value for line in shown for value in line.values]
    width = WIDE if named else WIDTH
    x = Axis(
        0,
        max((value.x for value in values), default=1.0),
        LEFT,
        width - RIGHT - (ROOM if named else 0),
    )
    below = (ticks(x.low, x.high, 6), _percent)
    return _lines(shown, references, x, below, (x_name, y_name), width, named)


def key(shown: Sequence[Line]) -> str:
    """What the colours of lines mean."""
    names = [
        element("span", element("i", class_=f"hue {line.style}") + text(line.name))
        for line in shown
    ]
    return element("div", "".join(names), class_="key")


def curves(shown: Sequence[Line], x_name: str, y_name: str) -> str:
    """A line chart over a wide range of positive numbers, such as samples seen: its axis is one of logarithms."""
    at = [value.x for line in shown for value in line.values]
    x = LogAxis(min(at), max(at), LEFT, WIDE - RIGHT - ROOM)
    return _lines(shown, [], x, (x.powers(), _short), (x_name, y_name))


def _lines(
    shown: Sequence[Line],
    references: Sequence[Mark],
    x: Axis,
    below: tuple[Sequence[float], Callable[[float], str]],
    names: tuple[str, str],
    width: int = WIDE,
    named: bool = True,
) -> str:
    """``below``: the values along the bottom, and how they are written; ``named``: the lines at their ends."""
    values = [value for line in shown for value in line.values]
    level = [reference.at for reference in references]
    low = min([value.mean - value.spread for value in values] + level, default=0.0)
    high = max([value.mean + value.spread for value in values] + level, default=1.0)
    margin = 0.06 * (high - low)
    y = Axis(max(0.0, low - margin), high + margin, TALL - BOTTOM, TOP)
    pieces = [_across(x, y, ticks(y.low, y.high), number), _below(x, y, *below)]
    for reference in references:
        at = y(reference.at)
        pieces.append(
            f'<line class="mark" x1="{LEFT}" x2="{x.end}" y1="{at}" y2="{at}"/>'
            f'<text class="mark" x="{LEFT + 4}" y="{at - 4}">{text(reference.label)}</text>'
        )
    pieces += [_line(line, x, y) for line in shown]
    pieces += [_ends(shown, x, y) if named else "", _names(x, *names)]
    title = f"{names[1]} against {names[0]}, {len(shown)} lines"
    return _chart(title, "".join(pieces), width)


def _line(line: Line, x: Axis, y: Axis) -> str:
    points = " ".join(f"{x(value.x)},{y(value.mean)}" for value in line.values)
    made = [f'<polyline class="path" points="{points}"/>']
    for value in line.values:
        at, top, foot = x(value.x), y(value.mean + value.spread), y(value.mean - value.spread)
        made.append(f'<line class="error" x1="{at}" x2="{at}" y1="{top}" y2="{foot}"/>')
        made.append(_dot("point", at, y(value.mean), value.label))
    return element("g", "".join(made), class_=f"line {line.style}")


def _ends(shown: Sequence[Line], x: Axis, y: Axis) -> str:
    """Names of the lines at their right ends, without overlap; that of a single point stands beside it."""
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
    """Ascending heights, moved so that they are ``APART`` units apart and inside the picture, if there is room.

    Too many of them are stacked from the top down.
    """
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + APART if moved else float(TOP)))
    limit = float(TALL - BOTTOM)
    for index in reversed(range(len(moved))):
        moved[index] = max(min(moved[index], limit), TOP + APART * index)
        limit = moved[index] - APART
    return moved


def _across(
    x: Axis, y: Axis, values: Sequence[float], written: Callable[[float], str] = _short
) -> str:
    """Grid lines at values of the upright axis, with the values."""
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{x.end}" y1="{y(value)}" y2="{y(value)}"/>'
        f'<text x="{LEFT - 5}" y="{y(value) + 3.5}" text-anchor="end">{written(value)}</text>'
        for value in values
    )


def _below(
    x: Axis, y: Axis, values: Sequence[float], written: Callable[[float], str] = _short
) -> str:
    """The axis along the bottom, with its values."""
    line = f'<line class="axis" x1="{LEFT}" x2="{x.end}" y1="{y.start}" y2="{y.start}"/>'
    return line + "".join(
        f'<text x="{x(value)}" y="{y.start + 14}" text-anchor="middle">{written(value)}</text>'
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
