"""The parts of a run, and their ranges."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.tasks import parts


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(1, 100), st.integers(1, 9))
def test_ranges_cover_all_parts_and_stay_small(rows: list[int], each: int, most: int) -> None:
    """Each but the last ends because one part more would pass the rows, or the count of parts."""
    spans = list(ranges_of(rows, each, most))
    assert [part for span in spans for part in span] == list(range(len(rows)))
    for span in spans:
        held = sum(rows[part] for part in span)
        assert len(span) <= most
        assert held <= each or len(span) == 1
        full = len(span) == most or span.stop == len(rows) or held + rows[span.stop] > each
        assert full


def ranges_of(rows: list[int], each: int, most: int) -> list[range]:
    """The ranges where one may have ``most`` parts."""
    usual = parts.RANGE_PARTS
    parts.RANGE_PARTS = most
    try:
        return parts.ranges(np.array(rows, np.int64), each)
    finally:
        parts.RANGE_PARTS = usual
