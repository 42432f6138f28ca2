"""Parquet of image-text pairs: LAION, DataComp, img2dataset, and files that hold the pictures too.

Columns are found by alias. Where the format leaves room:

- A key that repeats is no fault here: a row is whole by itself. Its number in the file, not the key's
  occurrence, goes into the hashed uid, so that nothing grows with the file.
- Of a picture without bytes the path counts, as ``picture_paths`` reads it.
- A row group that cannot be read on gives a row for each of its rows that was not yet read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs import partitions, picture_paths
from tamis.pipeline.inputs.formats import lacking
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.batch_size import batch_rows
from tamis.pipeline.inputs.parquet.batches import FileLayout, cell_values, describe
from tamis.pipeline.inputs.parquet.file import (
    BATCH_ROWS,
    BATCH_ROWS_WITH_PICTURES,
    BROKEN,
    TAKEN,
    InputParquet,
    find_columns,
    open_parquet,
    own_name,
    why_broken,
    words,
)
from tamis.pipeline.inputs.parquet.inner import field_of
from tamis.pipeline.inputs.part_builder import (
    FileTotals,
    IngestOptions,
    Row,
    Section,
    damage_row,
    fault,
    hash_file,
    picture_row,
)
from tamis.pipeline.inputs.uids import hash_uid
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason


def sections(file: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Section]:
    """The rows of a file, a section a row group.

    Raises:
        InputError: the file is missing.
    """
    try:
        yield from _sections(file, options)
        # Behind the rows: who wants the first of them alone does not wait for the whole file.
        totals.size, totals.sha256 = hash_file(file.path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(file.path)}` is not there any more") from None


def _sections(file: InputFile, options: IngestOptions) -> Iterator[Section]:
    with ExitStack() as stack:
        try:
            parquet = stack.enter_context(open_parquet(file.path))
            schema = parquet.schema_arrow
            _check_footer(parquet.metadata)
        except FileNotFoundError:
            raise
        except BROKEN as error:
            require_content(error, file.path)
            broken = why_broken(file.path, error)
            yield Section(1, iter([damage_row(file, Reason.UNREADABLE_FILE, broken)]))
            return
        told = partitions.captions(file)
        try:
            found = find_columns(schema, options, file.path, file.reading, told)
        except InputError as error:
            yield from _dropped(parquet, file, str(error))
            return
        layout = FileLayout(file, options, found)
        first, numbers = 0, count()
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            rows = _group_rows(parquet, layout, group, first, numbers)
            unread = partial(_unread, file, group, size, first, numbers)
            yield Section(size, rows, unread)
            first += size


def _dropped(parquet: InputParquet, file: InputFile, message: str) -> Iterator[Section]:
    """The rows of a file that lacks a column, or has one of a type that cannot be read."""
    names = (name for name in TAKEN if own_name(parquet.schema_arrow, name, file.reading))
    why = fault(lacking(file.reading, [*names]), message, None)
    first = 0
    for group in range(parquet.num_row_groups):
        size = parquet.metadata.row_group(group).num_rows
        yield Section(size, _rows_for(why, file, group, size, first))
        first += size


def _rows_for(why: Row, file: InputFile, group: int, size: int, first: int) -> Iterator[Row]:
    """The rows of a row group, dropped for one reason."""
    for row_number in range(size):
        yield _row(file, group, row_number, first + row_number) | why


def _check_footer(metadata: pq.FileMetaData) -> None:
    """Raise ValueError where a footer's counts contradict: a damaged one can name any number of rows."""
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if min(sizes, default=0) < 0 or sum(sizes) != metadata.num_rows:
        raise ValueError(f"the footer counts {metadata.num_rows} rows, its row groups {sum(sizes)}")


def _group_rows(
    parquet: InputParquet, layout: FileLayout, group: int, first: int, numbers: Iterator[int]
) -> Iterator[Row | pa.Table]:
    """The rows of one row group; ``first`` is the number in the file of its first row, ``numbers`` those of samples."""
    size = parquet.metadata.row_group(group).num_rows
    done = 0
    message = "the row group has fewer rows than the footer says"
    pictures = layout.columns.image is not None
    try:
        for read in parquet.iter_batches(
            batch_size=batch_rows(
                parquet,
                group,
                layout.columns.stored,
                BATCH_ROWS_WITH_PICTURES if pictures else BATCH_ROWS,
            ),
            row_groups=[group],
            columns=layout.columns.stored,
        ):
            batch = read.slice(0, size - done)  # a broken footer counts fewer
            table = describe(layout, batch, group, done, first + done)
            if not pictures:
                yield table
                done += batch.num_rows
                continue
            for row in _with_pictures(layout, batch, table, done, numbers):
                done = row["group_row"] + 1
                yield row
    except BROKEN as error:
        require_content(error, layout.file.path)
        message = words(error)
    for row_number in range(done, size):
        next(numbers)
        why = fault(Reason.UNREADABLE_ROW, f"row group {group}: {message}", None)
        yield _row(layout.file, group, row_number, first + row_number) | why


def _unread(
    file: InputFile, group: int, size: int, first: int, numbers: Iterator[int], message: str
) -> Iterator[Row]:
    """The rows of a row group that is not read."""
    why = fault(Reason.KILLED_ITS_WORKER, f"row group {group}: {message}", None)
    for row in _rows_for(why, file, group, size, first):
        next(numbers)
        yield row


def _row(file: InputFile, group: int, group_row: int, number: int) -> Row:
    """The place of a row of which nothing else is known."""
    key = str(number)
    return {
        "uid": hash_uid(file.entry, file.relative, "row", key, number),
        "key": key,
        "row_group": group,
        "group_row": group_row,
        "file_row": number,
    }


def _with_pictures(
    layout: FileLayout,
    batch: pa.RecordBatch,
    table: pa.Table,
    start: int,
    numbers: Iterator[int],
) -> Iterator[Row]:
    """The rows of a batch, which begins at row ``start`` of its row group, with the columns of their pictures. Of
    several faults a missing picture counts first, then the caption's, then another of the picture's.
    """
    images, options = _Pictures(layout, batch), layout.options
    last, picture = -1, Row()
    for columns in table.to_pylist():
        row = {name: value for name, value in columns.items() if value is not None}
        position, number = row["group_row"] - start, next(numbers)
        if position != last or not options.opens_all:  # else another caption of the same picture
            last, picture = position, images.row(position, number)
        missing = picture.get("reason") == Reason.MISSING_IMAGE
        yield row | picture if missing else picture | row


class _Pictures:
    """The pictures of a batch: bytes, or paths where it has none."""

    def __init__(self, layout: FileLayout, batch: pa.RecordBatch) -> None:
        columns, self._layout = layout.columns, layout
        self._bytes = None if columns.bytes is None else field_of(batch, columns.bytes)
        paths = None if columns.paths is None else field_of(batch, columns.paths)
        self._paths = None if paths is None else cell_values(paths)

    def row(self, position: int, number: int) -> Row:
        """The columns of the picture at a position of the batch; ``number`` is that of its row in the file."""
        options = self._layout.options
        if self._bytes is not None and self._bytes[position].is_valid:
            return _picture(self._bytes[position], number, options)
        path = None if self._paths is None else self._paths[position]
        if path is None:
            return fault(Reason.MISSING_IMAGE, "no bytes: null", None)
        return picture_paths.row_of(self._layout.file, path, None, number, options)


def _picture(cell: pa.Scalar, number: int, options: IngestOptions) -> Row:
    data = memoryview(cell.as_buffer())
    if len(data) > options.max_member_bytes:
        message = f"{len(data)} bytes: the limit is {options.max_member_bytes} (max_member_bytes)"
        return fault(Reason.MEMBER_TOO_LARGE, message, None)
    return picture_row(data, None, number, options)
