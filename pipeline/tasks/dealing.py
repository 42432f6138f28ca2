"""Exchanges of many buckets in two waves, so that no file has more than some hundred row groups.

A phase that deals its rows out to B buckets writes a row group a bucket, and behind them what stays with the task.
Beyond GROUPS it writes one for ``fan`` neighbouring buckets, with a column that says which; a second wave reads one
such group of some hundred files, and writes a file of it with a row group a bucket. Where one wave takes P * B row
groups for P files, two take P * B / fan and P * B / 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.order import by_bucket
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.sources import Gathered, gathered
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.scope import Scope

GROUPS = 256
"""Row groups of a file of an exchange, at most."""

TOGETHER_BYTES = 256 << 20
"""Bytes that a task of the second wave reads, about; and rows, of which some take far less on disk than in memory."""

TOGETHER_ROWS = 16_000_000

LEAST_FILES = 8
"""Files of the first wave that it reads, at least: else the second would be as many as the first."""

MOST_FILES = 512

DEALT = "-dealt"
"""The ending of the name of a second wave, behind the first's name."""

BUCKET = "bucket"
"""The column that says which of the neighbouring buckets a row goes to."""


@dataclass(frozen=True)
class Dealt:
    """Arguments of ``deal``: how many buckets a row group holds."""

    fan: int


def fan_of(buckets: int | None) -> int:
    """Neighbouring buckets of one row group of the first wave; 1 where one wave is enough."""
    if buckets is None or buckets <= GROUPS:
        return 1
    return math.ceil(buckets / min(GROUPS, math.isqrt(buckets)))


def joined(tables: Iterable[pa.Table], buckets: int) -> Iterator[pa.Table]:
    """One table for each few of the first ``buckets`` tables, with the column BUCKET; those behind them as they are."""
    fan = fan_of(buckets)
    held: list[pa.Table] = []
    for number, table in enumerate(tables):
        if number >= buckets:
            yield table
            continue
        held.append(
            table.append_column(BUCKET, pa.array(np.full(len(table), len(held), np.uint16)))
        )
        if len(held) == fan or number == buckets - 1:
            yield pa.concat_tables(held).combine_chunks()
            held = []


def second_wave(name: str, files: FileColumns, buckets: int) -> Phase[Dealt]:
    """The phase that deals out what ``files`` of the first wave hold; its files follow one another by bucket."""
    args = Dealt(fan_of(buckets))
    spans = _spans(files)
    tasks = [
        Task(Scope.BUCKET, group, {"rows": [gathered(files, group, *span)]}, args, piece=piece)
        for group in range(_groups(buckets))
        for piece, span in enumerate(spans)
    ]
    return listed(f"{name}{DEALT}", deal, tasks)


def deal(io: TaskIo[Dealt]) -> Iterator[pa.Table]:
    """The rows of one row group of some files, a row group a bucket."""
    table = io.read("rows").combine_chunks()
    bucket = table[BUCKET].to_numpy()
    order = by_bucket(bucket, io.args.fan)
    ends = np.searchsorted(bucket[order], np.arange(io.args.fan + 1))
    arranged = table.drop_columns([BUCKET]).take(pa.array(order))
    for number in range(io.args.fan):
        yield arranged.slice(ends[number], ends[number + 1] - ends[number])


def of_bucket(second: FileColumns, buckets: int, bucket: int) -> Gathered:
    """One bucket's row group of the second wave's files that have it."""
    return gathered(second, *place(len(second), buckets, bucket))


def place(files: int, buckets: int, bucket: int) -> tuple[int, int, int]:
    """The row group of one bucket in the second wave's files, and the positions of these, from and to."""
    group, within = divmod(bucket, fan_of(buckets))
    each = files // _groups(buckets)  # as many for each row group of the first wave
    return within, group * each, (group + 1) * each


def _groups(buckets: int) -> int:
    """Row groups of a file of the first wave that are dealt out."""
    return math.ceil(buckets / fan_of(buckets))


def _spans(files: FileColumns) -> list[tuple[int, int]]:
    """Positions, from and to, of the files that a task of the second wave reads."""
    groups = max(1, len(files.digests))
    size, rows = (max(1, int(column.sum()) // groups) for column in (files.bytes, files.rows))
    wanted = min(TOGETHER_BYTES // size, TOGETHER_ROWS // rows)
    each = min(max(wanted, LEAST_FILES), MOST_FILES)
    return [(start, min(start + each, len(files))) for start in range(0, len(files), each)]
