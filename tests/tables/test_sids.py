"""Sids: a part and a row in one number, and both again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.tables.sids import part_of, row_of, sid_of, sids_of, span_of

PARTS = st.integers(0, 2**31 - 1)
ROWS = st.integers(0, 2**32 - 1)


@given(PARTS, ROWS)
def test_a_sid_gives_back_its_part_and_row(part: int, row: int) -> None:
    sid = sid_of(part, row)
    assert (part_of(sid), row_of(sid)) == (part, row)
    first, beyond = span_of(part)
    assert first <= sid < beyond
    assert sid < 2**63


@given(st.lists(st.tuples(PARTS, ROWS), min_size=1))
def test_many_sids_are_those_of_each(samples: list[tuple[int, int]]) -> None:
    parts, rows = np.array(samples, np.int64).T
    sids = sids_of(parts, rows)
    assert sids.dtype == np.int64
    assert sids.tolist() == [sid_of(part, row) for part, row in samples]
    assert (part_of(sids).tolist(), row_of(sids).tolist()) == (parts.tolist(), rows.tolist())
    assert sids_of(int(parts[0]), rows)[0] == sids[0]


def test_sids_in_order_are_samples_in_the_order_of_parts() -> None:
    samples = [(0, 0), (0, 2**32 - 1), (1, 0), (7, 5), (7, 6)]
    assert sorted(samples, key=lambda one: sid_of(*one)) == samples
