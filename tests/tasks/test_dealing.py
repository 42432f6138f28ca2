"""What a task of an exchange's second wave reads is bounded in bytes, in rows and in files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks.sources import Gathered

BUCKETS = 300
GROUPS = -(-BUCKETS // dealing.fan_of(BUCKETS))


def first_wave(files: int, size: int, rows: int) -> FileColumns:
    """Files whose row groups have ``size`` bytes and ``rows`` rows each."""
    names = [f"bundle-{number:05d}" for number in range(files)]
    made = [
        TableFile(
            f"t/{name}.parquet", "0" * 32, ("0" * 16,) * GROUPS, (rows,) * GROUPS, size * GROUPS, {}
        )
        for name in names
    ]
    return FileColumns.of("t", names, made)


@pytest.mark.parametrize(
    ("files", "size", "rows", "each"),
    [
        (1000, 1 << 20, 10_000, 256),  # a megabyte a row group: by bytes
        (1000, 1 << 10, 1_000_000, 16),  # which packs to a thousandth: by rows
        (1000, 40, 10, 512),  # all small: by files
        (100, 1 << 30, 10, 8),  # a gigabyte a row group: but a few together
        (3, 40, 10, 512),
    ],
)
def test_a_task_reads_as_many_files_as_its_memory_holds(
    files: int, size: int, rows: int, each: int
) -> None:
    wave = first_wave(files, size, rows)
    tasks = list(dealing.second_wave("dealt", wave, BUCKETS).tasks)
    read = [source for task in tasks for source in task.inputs["rows"]]
    pieces = [piece for piece in read if isinstance(piece, Gathered)]
    assert len(pieces) == len(read) > 0
    groups = {piece.group for piece in pieces}
    for group in groups:
        of_group = [piece for piece in pieces if piece.group == group]
        assert [piece.first for piece in of_group] == list(range(0, files, each))
        assert sum(piece.rows for piece in of_group) == files * rows
        assert max(piece.rows for piece in of_group) == min(each, files) * rows


@pytest.mark.parametrize("files", [1, 9, 1000])
def test_a_bucket_lies_in_the_files_that_were_made_of_its_row_group(files: int) -> None:
    tasks = list(dealing.second_wave("dealt", first_wave(files, 1 << 24, 10), BUCKETS).tasks)
    fan = dealing.fan_of(BUCKETS)
    for bucket in range(BUCKETS):
        within, first, stop = dealing.place(len(tasks), BUCKETS, bucket)
        assert within == bucket % fan
        read = [source for task in tasks[first:stop] for source in task.inputs["rows"]]
        pieces = [piece for piece in read if isinstance(piece, Gathered)]
        assert {piece.group for piece in pieces} == {bucket // fan}
        assert sum((piece.stop or 0) - piece.first for piece in pieces) == files


@given(st.integers(dealing.GROUPS + 1, 700), st.integers(0, 3), st.data())
def test_neighbouring_buckets_are_one_group_and_what_comes_behind_them_stays(
    buckets: int, behind: int, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=buckets, max_size=buckets))
    tables = [pa.table({"value": np.full(size, bucket)}) for bucket, size in enumerate(sizes)]
    own = [pa.table({"value": [-1 - number]}) for number in range(behind)]
    found = list(dealing.joined([*tables, *own], buckets))
    fan, groups = dealing.fan_of(buckets), len(found) - behind
    assert groups == -(-buckets // fan) <= dealing.GROUPS
    assert found[groups:] == own
    for group, table in enumerate(found[:groups]):
        bucket = group * fan + table[dealing.BUCKET].to_numpy()
        assert table["value"].to_pylist() == bucket.tolist()
    assert sum(table.num_rows for table in found[:groups]) == sum(sizes)
