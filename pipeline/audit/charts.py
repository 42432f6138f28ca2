"""Charts as inline SVG: plain text, coloured by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.audit.distributions import Histogram
from pipeline.audit.html import element, number, text

WIDTH, HEIGHT = 360, 180
WIDE, TALL = 520, 260
"""Of a scatter plot."""
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 22, 34
"""Margins around the plot, in the same units: the numbers of the axes stand there."""


class Mark(NamedTuple):
    """A threshold: where it stands, and how it is called."""

    at: float
    label: str


class Point(NamedTuple):
    """A dot of a scatter plot and what it says when pointed at."""

    x: float
    y: float
    label: str


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
    return _svg("bar", 1000, 10, "".join(pieces), preserveAspectRatio="none", aria_hidden="true")


def histogram(shown: Histogram, marks: Sequence[Mark], name: str) -> str:
    """Bars of kept on top of dropped, and the thresholds as lines."""
    x = Axis(shown.low, shown.high, LEFT, WIDTH - RIGHT)
    highest = max((kept + dropped for kept, dropped in shown.bins), default=0)
    y = Axis(0, highest, HEIGHT - BOTTOM, TOP)
    width = (x.end - x.start) / max(len(shown.bins), 1)
    pieces = [_horizontal(y, WIDTH, count=True)]
    for number_, (kept, dropped) in enumerate(shown.bins):
        left = round(x.start + number_ * width, 2)
        wide = round(max(width - 0.6, 0.4), 2)
        for style, bottom, top in (("kept", 0, kept), ("dropped", kept, kept + dropped)):
            if top > bottom:
                high = round(y(bottom) - y(top), 2)
                pieces.append(
                    f'<rect class="{style}" x="{left}" y="{y(top)}" width="{wide}" height="{high}"/>'
                )
    pieces.append(_labels(x))
    pieces += [_mark(x, mark) for mark in marks]
    title = f"Distribution of {name}: {shown.total:,} samples"
    return _svg("chart", WIDTH, HEIGHT, element("title", text(title)) + "".join(pieces), role="img")


def scatter(points: Sequence[Point], x_name: str, y_name: str, y_share: bool = False) -> str:
    """One dot a point; both axes begin at 0 where that leaves the points their room."""
    xs = [point.x for point in points] or [0.0]
    low = 0.0 if min(xs) < 0.5 * max(xs) else min(xs)
    x = Axis(low, max(xs), LEFT, WIDE - RIGHT)
    highest = 1 if y_share else max((point.y for point in points), default=1)
    y = Axis(0, highest, TALL - BOTTOM, TOP)
    dots = "".join(
        f'<circle class="dot" cx="{x(point.x)}" cy="{y(point.y)}" r="3">'
        f"{element('title', text(point.label))}</circle>"
        for point in points
    )
    names = (
        f'<text class="name" x="{WIDE - RIGHT}" y="{TALL - 4}" text-anchor="end">{text(x_name)}</text>'
        f'<text class="name" x="4" y="12">{text(y_name)}</text>'
    )
    title = element("title", text(f"{y_name} against {x_name}, {len(points):,} concepts"))
    grid = _horizontal(y, WIDE, percent=y_share) + _labels(x, TALL)
    return _svg("chart", WIDE, TALL, title + grid + dots + names, role="img")


def _horizontal(y: Axis, width: int, count: bool = False, percent: bool = False) -> str:
    lines = []
    for value in ticks(y.low, y.high, 4):
        if count and not float(value).is_integer():
            continue
        said = f"{100 * value:.0f}%" if percent else _short(value)
        lines.append(
            f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y(value)}" y2="{y(value)}"/>'
            f'<text x="{LEFT - 5}" y="{y(value) + 3.5}" text-anchor="end">{said}</text>'
        )
    return "".join(lines)


def _labels(x: Axis, height: int = HEIGHT) -> str:
    base = height - BOTTOM
    line = f'<line class="axis" x1="{LEFT}" x2="{x.end}" y1="{base}" y2="{base}"/>'
    return line + "".join(
        f'<text x="{x(value)}" y="{base + 14}" text-anchor="middle">{_short(value)}</text>'
        for value in ticks(x.low, x.high)
    )


def _mark(x: Axis, mark: Mark) -> str:
    at = x(mark.at)
    side = "end" if at > WIDTH / 2 else "start"
    beside = at - 4 if side == "end" else at + 4
    return (
        f'<line class="mark" x1="{at}" x2="{at}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="mark" x="{beside}" y="{TOP - 5}" text-anchor="{side}">{text(mark.label)}</text>'
    )


def _short(value: float) -> str:
    """12000 as 12k."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0):
            return f"{value / size:g}{unit}"
    return number(value)


def _svg(style: str, width: int, height: int, inside: str, **attributes: str) -> str:
    written = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<svg class="{style}" viewBox="0 0 {width} {height}"{written}>{inside}</svg>'
