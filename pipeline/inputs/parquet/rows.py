"""Parquet of image-text pairs: LAION, DataComp, img2dataset, and files that hold the pictures too.

Columns are found by alias. Where the format leaves room:

- A key that repeats is no fault here: a row is whole by itself. Its number in the file, not the key's
  occurrence, goes into the hashed uid, so that nothing grows with the file.
- A picture that is only a path is missing: no path out of an input is ever opened.
- A row group that cannot be read on gives a row for each of its rows that was not yet read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.batches import Described, describe
from tamis.pipeline.inputs.parquet.file import (
    BATCH_ROWS,
    BATCH_ROWS_WITH_PICTURES,
    BROKEN,
    Columns,
    find_columns,
    open_parquet,
)
from tamis.pipeline.inputs.part_builder import (
    FileTotals,
    IngestOptions,
    Row,
    Run,
    damage_row,
    fault,
    hash_file,
    picture_row,
)
from tamis.pipeline.inputs.uids import hash_uid
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason


def runs(source: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Run]:
    """The rows of a file, a run a row group.

    Raises:
        InputError: the file is not there, or lacks a column (``find_columns``).
    """
    try:
        totals.size, totals.sha256 = hash_file(source.path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(source.path)}` is not there any more") from None
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_parquet(source.path))
            schema = file.schema_arrow
            _check_footer(file.metadata)
        except BROKEN as error:
            yield Run(1, iter([damage_row(source, Reason.UNREADABLE_FILE, _words(error))]))
            return
        described = Described(source, options, find_columns(schema, options, source.path))
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            yield Run(size, _group_rows(file, described, group, first))
            first += size


def _check_footer(metadata: pq.FileMetaData) -> None:
    """A damaged footer can claim any number of rows; ValueError where its numbers contradict."""
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if min(sizes, default=0) < 0 or sum(sizes) != metadata.num_rows:
        raise ValueError(f"the footer counts {metadata.num_rows} rows, its row groups {sum(sizes)}")


def _words(error: BaseException) -> str:
    """An error's message without addresses in memory, in one line."""
    return re.sub(r"0x[0-9a-f]+", "0x...", " ".join(str(error).split()))


def _group_rows(
    file: pq.ParquetFile, described: Described, group: int, first: int
) -> Iterator[Row | pa.Table]:
    """The rows of one row group; ``first`` is the number in the file of its first row."""
    size = file.metadata.row_group(group).num_rows
    done = 0
    message = "the row group has fewer rows than the footer says"
    pictures = described.columns.image is not None
    try:
        for batch in file.iter_batches(
            batch_size=BATCH_ROWS_WITH_PICTURES if pictures else BATCH_ROWS,
            row_groups=[group],
            columns=described.columns.wanted,
            use_threads=False,
        ):
            table = describe(described, batch, group, done, first + done).slice(0, size - done)
            if not pictures:
                yield table
                done += table.num_rows
                continue
            for row in _with_pictures(described, batch, table):
                yield row
                done += 1
    except BROKEN as error:
        message = _words(error)
    for place in range(done, size):
        yield _unreadable(described.source, group, place, first + place, message)


def _unreadable(source: InputFile, group: int, place: int, number: int, message: str) -> Row:
    key = str(number)
    row: Row = {
        "uid": hash_uid(source.entry, source.relative, "row", key, number),
        "key": key,
        "row_group": group,
        "group_row": place,
        "file_row": number,
    }
    return row | fault(Reason.UNREADABLE_ROW, f"row group {group}: {message}", None)


def _with_pictures(described: Described, batch: pa.RecordBatch, table: pa.Table) -> Iterator[Row]:
    """The rows of a batch, what its columns say of each joined by what the picture says. Of two faults a missing
    picture counts before the caption's, and that before another of the picture's.
    """
    images = _images(batch, described.columns)
    for cell, given in zip(images, table.to_pylist(), strict=False):  # a broken footer counts less
        row = {name: value for name, value in given.items() if value is not None}
        if cell.is_valid:
            yield _picture(cell, row["file_row"], described.options) | row
        else:
            yield row | fault(Reason.MISSING_IMAGE, "no bytes: null, or only a path", None)


def _images(batch: pa.RecordBatch, columns: Columns) -> pa.Array:
    column = batch.column(columns.image)
    if columns.nested:
        column = pc.struct_field(column, "bytes")
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _picture(cell: pa.Scalar, number: int, options: IngestOptions) -> Row:
    data = memoryview(cell.as_buffer())
    if len(data) > options.max_member_bytes:
        message = f"{len(data)} bytes: the limit is {options.max_member_bytes} (max_member_bytes)"
        return fault(Reason.MEMBER_TOO_LARGE, message, None)
    return picture_row(data, None, number, options)
