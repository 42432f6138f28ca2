"""The columns of a parquet file: their types, and their values in some rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.pipeline.inputs.columns import NUMBER, SINGLE, TEXT, TRUTH, Columns, fits
from tamis.pipeline.inputs.inner_fields import DOT
from tamis.pipeline.inputs.parquet.batch_size import batch_rows
from tamis.pipeline.inputs.parquet.file import BROKEN, InputParquet, open_parquet
from tamis.pipeline.inputs.parquet.inner import (
    Name,
    inner_array,
    inner_type,
    is_list,
    stored_way,
    way_of,
)
from tamis.pipeline.inputs.parquet.texts import bounded
from tamis.pipeline.inputs.parquet.views import without_views
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError

BATCH_ROWS, UNEVEN_ROWS = 8_192, 256
"""Rows decoded at a time, at most; of a row group that is larger than a batch its long values may stand together."""


def look(path: str) -> Columns:
    """The types of the columns in the file's schema; none where it cannot be read."""
    try:
        with open_parquet(path) as file:
            return dict(_named(file.schema_arrow))
    except BROKEN as error:  # a damaged input is ingest's to report, row by row
        require_content(error, path)
        return {}


def names(path: str) -> list[str]:
    """The names of the columns in the file's schema, without the fields inside them; none where it cannot be read."""
    try:
        with open_parquet(path) as file:
            return list(file.schema_arrow.names)
    except BROKEN as error:
        require_content(error, path)
        return []


def _named(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType | None]]:
    """The columns, then the fields of structs inside them by the names on the way to them, each with its kind; that of
    fields of structs in lists is None.
    """
    yield from ((field.name, _kind_of(field.type)) for field in schema)
    left = [(field.name, field.type, False) for field in schema if DOT not in field.name]
    while left:
        name, kind, many = left.pop(0)
        if is_list(kind):
            kind, many = kind.value_type, True
        if pa.types.is_struct(kind):
            inner = [(f"{name}{DOT}{one.name}", one.type) for one in kind if DOT not in one.name]
            for whole, of in inner:
                if whole not in schema.names:
                    yield whole, None if many else _kind_of(of)
            left += [(whole, of, many) for whole, of in inner]


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column, or a field inside one, which is null where what it stands in is."""
    column, *keys = way_of(table.schema, name)
    chunks = [inner_array(chunk, keys) for chunk in table[column].chunks]
    return pa.chunked_array(chunks, inner_type(table.schema, name))


def _kind_of(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return TRUTH
    if kind in (pa.float16(), pa.float32()):
        return SINGLE
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return NUMBER
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return TEXT
    return pa.null() if pa.types.is_null(kind) else None


def read(
    path: str,
    row_group: NDArray[np.integer],
    group_row: NDArray[np.integer],
    wanted: Mapping[str, pa.DataType],
) -> dict[str, pa.Array]:
    """The values (n) of some columns in n rows; (row_group, group_row) are their positions, ascending.

    Null where a column is missing, of another type than ``wanted``, or cannot be read, and as ``bounded`` says.

    Raises:
        InputError: the file lacks a row.
    """
    if not len(row_group):  # a file that cannot be opened has no row that is asked for
        return {name: pa.array([], kind) for name, kind in wanted.items()}
    pieces: list[pa.Table] = []
    try:
        with open_parquet(path) as file:
            present = _present(file.schema_arrow, wanted)
            for number in np.unique(row_group):
                rows = group_row[row_group == number]
                pieces += _group_values(file, int(number), rows, present, path)
    except BROKEN as error:
        require_content(error, path)
        columns = ", ".join(wanted)
        raise InputError(f"`{storage.redact(path)}`: cannot read {columns}: {error}") from error
    table = pa.concat_tables(pieces)
    return {
        name: table[name].combine_chunks() if name in present else pa.nulls(len(row_group), kind)
        for name, kind in wanted.items()
    }


def _present(schema: pa.Schema, wanted: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """The wanted columns that the file has, of that type; a sample has no value in another."""
    types = {name: inner_type(schema, name) for name in wanted}
    return {
        name: kind
        for name, kind in wanted.items()
        if (own := types[name]) is not None and fits(_kind_of(own), kind)
    }


def _group_values(
    file: InputParquet,
    number: int,
    rows: NDArray[np.integer],
    present: Mapping[str, pa.DataType],
    path: str,
) -> list[pa.Table]:
    """The values of some rows of one row group; none from a page on that cannot be read."""
    taken: list[pa.Table] = []
    try:
        for piece in _rows_of(file, number, rows, list(present), path):
            # Unsafe: an integer above 2^53 loses its last digits and does not stop the run.
            columns = [
                _column(piece, name).cast(kind, safe=False) for name, kind in present.items()
            ]
            columns = [bounded(column) if column.type == TEXT else column for column in columns]
            taken.append(pa.table(columns, names=list(present)))
    except BROKEN as error:
        require_content(error, path)
    left = len(rows) - sum(piece.num_rows for piece in taken)
    if left:
        taken.append(pa.table({name: pa.nulls(left, kind) for name, kind in present.items()}))
    return taken


def rows_of(
    file: InputParquet,
    row_group: NDArray[np.integer],
    group_row: NDArray[np.integer],
    names: Sequence[Name],
    path: str,
) -> Iterator[pa.Table]:
    """Some columns, or fields of them, in the rows at ascending positions, a batch at a time.

    Raises:
        InputError: the file lacks a row.
    """
    for number in np.unique(row_group):
        rows = group_row[row_group == number]
        yield from _rows_of(file, int(number), rows, names, path)


def _rows_of(
    file: InputParquet, number: int, rows: NDArray[np.integer], names: Sequence[Name], path: str
) -> Iterator[pa.Table]:
    """Some rows of one row group, decoded a batch at a time and no further than the last of them."""
    start, left = 0, rows
    ways = [*dict.fromkeys(stored_way(file.schema_arrow, name) for name in names)]
    size = batch_rows(file, number, ways, BATCH_ROWS, UNEVEN_ROWS)
    batches = file.iter_batches(size, [number], ways)
    while len(left):
        batch = next(batches, None)
        if batch is None:
            raise InputError(
                f"`{storage.redact(path)}`: row {left[0]} of row group {number} is gone: "
                "the file has changed; run again with --accept-changed"
            )
        count = int(np.searchsorted(left, start + batch.num_rows))
        rows = pa.array(left[:count] - start)
        yield pa.Table.from_batches([without_views(batch).take(rows)])
        start, left = start + batch.num_rows, left[count:]
