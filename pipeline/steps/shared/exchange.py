"""A shuffle through storage: bundle files with a row group a bucket, bucket files with a row group a range.

A bucket task reads the same row group of every file: only its own rows are moved, every file is written once, and a
killed run finds each of them again. Small runs have one bucket and one range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.order import by_bucket
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.sids import row_of, sid_of, span_of
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import VERDICT, Phase, listed, members_of
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Args, Members, Task, TaskIo
from tamis.schemas.scope import Scope

Span = tuple[int, int]
"""Numbers of parts: from, to."""


def bucket_of(hashes: npt.NDArray[np.uint64], buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each hash, (n,): equal spans of the high 32 bits."""
    return ((hashes >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.int64)


def split(table: pa.Table, group: npt.NDArray[np.int64], groups: int) -> Iterator[pa.Table]:
    """One table for each of ``groups``, the rows of each in their order."""
    if groups == 1:
        yield table
        return
    order = by_bucket(group, groups)
    ends = np.searchsorted(group[order], np.arange(groups + 1))
    arranged = table.take(pa.array(order))
    for number in range(groups):
        yield arranged.slice(ends[number], ends[number + 1] - ends[number])


def range_starts(context: Context) -> list[int]:
    """The first sid of each range of a global step's result."""
    return [sid_of(parts.start, 0) for parts in context.ranges()]


def split_by_range(table: pa.Table, starts: Sequence[int]) -> Iterator[pa.Table]:
    """One table for each range, by the column ``sid``."""
    group = np.searchsorted(np.asarray(starts), table["sid"].to_numpy(), side="right") - 1
    yield from split(table, group, len(starts))


def by_part(table: pa.Table, parts: Span) -> Iterator[pa.Table]:
    """One table for each part of a range, with ``row`` instead of ``sid``, sorted by it."""
    sid = table["sid"].to_numpy()
    order = np.argsort(sid, kind="stable")
    arranged, sid = table.drop_columns(["sid"]).take(pa.array(order)), sid[order]
    for part in range(*parts):
        start, stop = np.searchsorted(sid, span_of(part))
        row = pa.array(row_of(sid[start:stop]).astype(np.uint32))
        yield arranged.slice(start, stop - start).add_column(0, "row", row)


@dataclass(frozen=True)
class Dropped:
    """Arguments of ``decide``."""

    parts: Span
    reason: str


def verdict_phase(context: Context, done: Done, reason: str) -> Phase[Dropped]:
    """The verdict over each range, from bucket files of drops (sid and columns of DROPS)."""
    return range_phase(
        context, VERDICT, decide, {"found": done}, lambda parts: Dropped(parts, str(reason))
    )


def range_phase(
    context: Context,
    name: str,
    function: Callable[[TaskIo[Args]], Iterable[pa.Table]],
    roles: Mapping[str, Done],
    args: Callable[[Span], Args],
    members: Mapping[str, Sequence[ByPart]] | None = None,
    shared: Mapping[str, Sequence[Source]] | None = None,
) -> Phase[Args]:
    """A task for each range, which reads that row group of every file of ``roles``.

    It also reads ``members`` of each of its parts, and what is ``shared`` by all.
    """
    tasks = []
    for number, parts in enumerate(context.ranges()):
        span = parts.start, parts.stop
        rows = int(context.parts.rows[parts.start : parts.stop].sum())
        inputs: dict[str, Sequence[Source]] = dict(shared or {})
        inputs |= {role: done.groups(number) for role, done in roles.items()}
        of_parts: Members[Args] | None = (
            members_of(context.parts, members, *span) if members else None
        )
        tasks.append(Task(Scope.RANGE, number, inputs, args(span), rows=rows, members=of_parts))
    return listed(name, function, tasks)


def decide(io: TaskIo[Dropped]) -> Iterator[pa.Table]:
    """A row group of DROPS for each part of a range."""
    dropped = io.read("found")
    columns = [name for name in dropped.column_names if name != "sid"]
    for table in by_part(dropped, io.args.parts):
        values = {name: table[name].combine_chunks() for name in columns}
        yield drops(io, table["row"].to_numpy(), io.args.reason, **values)
