"""A shuffle through storage: part files with a row group a bucket, bucket files with a row group a range.

A bucket task reads the same row group of every part's file: only its own rows are moved, every file is written
once, and a killed run finds each of them again. Small runs have one bucket and one range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.shared.parts import drops
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Done, Part, Phase, Task, TaskIo
from tamis.schemas.scope import Scope


def bucket_of(hashes: npt.NDArray[np.uint64], buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each hash, (n,): equal spans of the high 32 bits."""
    return ((hashes >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.int64)


def split(table: pa.Table, group: npt.NDArray[np.int64], groups: int) -> Iterator[pa.Table]:
    """One table for each of ``groups``, the rows of each in their order."""
    if groups == 1:
        yield table
        return
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(groups + 1))
    arranged = table.take(pa.array(order))
    for number in range(groups):
        yield arranged.slice(ends[number], ends[number + 1] - ends[number])


def range_starts(context: Context) -> list[int]:
    """The first sid of each range of a global step's result."""
    return [parts[0].number << 32 for parts in context.ranges()]


def split_by_range(table: pa.Table, starts: Sequence[int]) -> Iterator[pa.Table]:
    """One table for each range, by the column ``sid``."""
    group = np.searchsorted(np.asarray(starts), table["sid"].to_numpy(), side="right") - 1
    yield from split(table, group, len(starts))


def by_part(table: pa.Table, parts: Sequence[int]) -> Iterator[pa.Table]:
    """One table for each part number, with ``row`` instead of ``sid``, sorted by it."""
    sid = table["sid"].to_numpy()
    order = np.argsort(sid, kind="stable")
    arranged, sid = table.drop_columns(["sid"]).take(pa.array(order)), sid[order]
    for part in parts:
        start, stop = np.searchsorted(sid, [part << 32, (part + 1) << 32])
        row = pa.array((sid[start:stop] & 0xFFFFFFFF).astype(np.uint32))
        yield arranged.slice(start, stop - start).add_column(0, "row", row)


@dataclass(frozen=True)
class Dropped:
    """Arguments of ``decide``."""

    parts: Sequence[int]  # numbers
    reason: str


def verdict_phase(context: Context, done: Done, reason: str) -> Phase[Dropped]:
    """The verdict over each range, from bucket files of drops (sid and columns of DROPS)."""
    tasks = [
        Task(
            Scope.RANGE,
            number,
            {"found": done.groups(number)},
            Dropped(numbers(parts), str(reason)),
        )
        for number, parts in enumerate(context.ranges())
    ]
    return Phase("verdict", decide, tasks)


def numbers(parts: Sequence[Part]) -> list[int]:
    """Part numbers, as a task's argument."""
    return [part.number for part in parts]


def decide(io: TaskIo[Dropped]) -> Iterator[pa.Table]:
    """A row group of DROPS for each part of a range."""
    dropped = io.read("found")
    columns = [name for name in dropped.column_names if name != "sid"]
    for table in by_part(dropped, io.args.parts):
        values = {name: table[name].combine_chunks() for name in columns}
        yield drops(io, table["row"].to_numpy(), io.args.reason, **values)
