"""A bucket that is too large to be held, read in passes, a batch of rows at a time.

Keys are dealt out by their hashes, so a bucket grows beyond what was planned only where very many samples have one key:
one uid, one URL, one caption.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from tamis.pipeline.algorithms.arrays import Int64Array
from tamis.pipeline.steps.shared.exchange import split_by_range
from tamis.pipeline.tasks.task import TaskIo


def rows_of(io: TaskIo[Any], role: str) -> int:
    """Rows under a role, none of which is read."""
    return sum(piece.rows for piece in io.slices(role))


def batches(
    io: TaskIo[Any], role: str, least: int, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows under a role, ``least`` or a row group more at a time; none where there are none."""
    held, rows = list[pa.Table](), 0
    for table in io.stream(role, columns):
        held.append(table)
        rows += len(table)
        if rows >= least:
            yield pa.concat_tables(held).combine_chunks()
            held, rows = [], 0
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def folded(tables: Iterable[pa.Table], pick: Callable[[pa.Table], Int64Array]) -> pa.Table | None:
    """The rows that ``pick`` chooses of all tables, where it chooses again among the chosen and those of the next."""
    held: pa.Table | None = None
    for table in tables:
        both = table if held is None else pa.concat_tables([held, table]).combine_chunks()
        held = both.take(pa.array(pick(both)))
    return held


def ranges_in_turn(
    tables: Iterable[tuple[int, pa.Table]], starts: Sequence[int]
) -> Iterator[pa.Table]:
    """One table for each range, by the column ``sid``, written as soon as a later range has begun.

    ``tables``: at least one, with the sid that its batch began with. Batches follow one another by sid.
    """
    done, waiting = 0, list[pa.Table]()
    for first, table in tables:
        reached = bisect_right(starts, first) - 1
        if reached > done:
            before = pa.concat_tables([table.slice(0, 0), *waiting])
            whole = list(split_by_range(before, starts[done:]))
            yield from whole[: reached - done]
            done, waiting = reached, whole[reached - done :]
        waiting.append(table)
    yield from split_by_range(pa.concat_tables(waiting), starts[done:])
