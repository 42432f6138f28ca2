"""Lines over shares: their names stay in the picture and apart, and no two lines look alike."""

import re
from itertools import pairwise

import pytest

from tamis.pipeline.audit.report.charts import (
    APART,
    BOTTOM,
    STYLES,
    TALL,
    Line,
    LogAxis,
    Mark,
    Value,
    lines,
    stacked,
    style,
)


@pytest.mark.parametrize("heights", [[100.0] * 9, [TALL - BOTTOM - 1.0] * 9, [0.0, 500.0], []])
def test_names_keep_apart_and_inside(heights: list[float]) -> None:
    found = stacked(heights)
    assert len(found) == len(heights)
    assert all(b - a >= APART for a, b in pairwise(found))
    assert all(0 <= at <= TALL - BOTTOM for at in found)


def test_names_with_room_stay_at_their_ends() -> None:
    assert stacked([40.0, 80.0, 120.0]) == [40.0, 80.0, 120.0]


def test_every_level_and_every_name_is_drawn() -> None:
    values = [Value(0.1, 0.3, 0.01, ""), Value(0.5, 0.1, 0.01, "")]
    shown = [Line(f"n{i}", style(i), values) for i in range(9)]
    drawn = lines(shown, [Mark(0.02, "chance"), Mark(0.4, "all")], "x", "y")
    assert drawn.count('class="mark"') == 4
    heights = [float(at) for at in re.findall(r'class="end [^"]*" x="[^"]*" y="([^"]*)"', drawn)]
    assert len(heights) == 9
    assert max(heights) < TALL


def test_lines_beyond_the_colours_are_dashed() -> None:
    styles = [style(place) for place in range(2 * STYLES)]
    assert len(set(styles)) == 2 * STYLES


def test_a_logarithmic_axis_gives_every_decade_the_same_length() -> None:
    axis = LogAxis(10.0, 10_000.0, 0.0, 300.0)
    assert [axis(x) for x in (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 1e9)] == [
        0,
        0,
        100,
        200,
        300,
        300,
    ]
    assert axis.powers() == [10.0, 100.0, 1_000.0, 10_000.0]
