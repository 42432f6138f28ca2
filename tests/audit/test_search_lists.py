from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.audit.search.lists import RecentLists
from tamis.pipeline.tables.part_files import Slice

ROWS = 100
ROW = 8


def piece(number: int) -> Slice:
    return Slice("tables/x", 0, f"{number:016x}", ROWS)


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 5))
def test_the_lists_asked_for_last_are_kept_and_no_more(asked: list[int], room: int) -> None:
    lists = RecentLists(room * ROWS * ROW)
    read: list[str] = []

    def table(found: Slice) -> pa.Table:
        read.append(found.identity)
        return pa.table({"number": np.full(ROWS, int(found.identity, 16))})

    kept: list[int] = []
    due = []
    for number in asked:
        if number not in kept:
            due.append(piece(number).identity)
        kept = [*(other for other in kept if other != number), number][-room:] if room else []
        assert lists.table(piece(number), table)["number"][0].as_py() == number
    assert read == due
