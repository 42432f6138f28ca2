"""Columns of tables as arrays, and arrays as columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.schemas.tables import embedding_type

Float16s = npt.NDArray[np.float16]

PACKED = {b"tamis": b"packed"}
"""Metadata of a column of bytes that is compressed in its file: hashes and embeddings are not."""


class Single(float):
    """A number out of a column of 32 bits, which is compared with others rounded to 32 bits."""


def rounded(number: float) -> float:
    """A number as values of 32 bits are compared with it; beyond their range it is infinite."""
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers, none of them null: a view of its memory if it is one chunk, else a copy.

    Its `to_numpy` imports pandas where that is installed, which takes a short command a fifth of a second.
    """
    array = _joined(column)
    found: npt.NDArray[Any] = np.from_dlpack(array)
    return found


def mask(rows: npt.NDArray[np.bool_]) -> pa.Array:
    """A mask for a table's `filter`, (n,) bool; `pa.array` imports pandas too."""
    bits = pa.py_buffer(np.packbits(rows, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(rows), [None, bits])


def _joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array; one chunk is not copied."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def row_values(table: pa.Table, position: int) -> dict[str, object]:
    """One row of a table, by column, with ``Single`` for numbers of 32 bits."""
    (row,) = table.slice(position, 1).to_pylist()
    for field in table.schema:
        if field.type in (pa.float16(), pa.float32()) and row[field.name] is not None:
            row[field.name] = Single(row[field.name])
    found: dict[str, object] = row
    return found


def centroid_table(rows: npt.NDArray[np.float32]) -> pa.Table:
    """The table of a file of centroids from ``rows``, float32 (K, d)."""
    raw = np.ascontiguousarray(rows, dtype="<f4")
    kind = pa.binary(raw.shape[1] * 4)
    column = pa.FixedSizeBinaryArray.from_buffers(kind, len(raw), [None, pa.py_buffer(raw)])
    return pa.table({"centroid": column})


def centroid_rows(table: pa.Table) -> npt.NDArray[np.float32]:
    """The inverse of ``centroid_table``: float32 (K, d)."""
    column = table["centroid"].combine_chunks()
    return np.frombuffer(column.buffers()[1], dtype="<f4").reshape(len(column), -1)


def vectors(column: pa.ChunkedArray | pa.Array) -> Float16s:
    """The embeddings of a column as float16 (n, d): a view of its memory if it is one chunk, else a copy."""
    array = _joined(column)
    dim = array.type.byte_width // 2
    numbers = (
        np.frombuffer(array.buffers()[1], dtype=np.float16)
        if len(array)
        else np.empty(0, np.float16)
    )
    return numbers.reshape(-1, dim)[array.offset : array.offset + len(array)]


def vector_column(rows: Float16s) -> pa.Array:
    """The inverse of ``vectors``: a column of ``embedding_type`` from float16 (n, d)."""
    raw = np.ascontiguousarray(rows, dtype="<f2")
    kind = embedding_type(rows.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(raw), [None, pa.py_buffer(raw.tobytes())])


def scatter(table: pa.Table, rows: int) -> pa.Table:
    """A table with all ``rows`` of a part, from one with those in its column ``row``: the others are null."""
    positions = np.full(rows, -1, dtype=np.int64)
    positions[table["row"].to_numpy()] = np.arange(table.num_rows)
    indices = pa.array(positions, mask=positions < 0)
    return table.drop_columns(["row"]).combine_chunks().take(indices)


def uid_words(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Big-endian 64-bit halves of 16-byte values, uint64 (n, 2): they sort as the bytes and the hex digits do."""
    array = _joined(column)
    if len(array) == 0:
        return np.empty((0, 2), dtype=np.uint64)
    raw = np.frombuffer(array.buffers()[1], dtype=">u8").reshape(-1, 2)
    return raw[array.offset : array.offset + len(array)].astype(np.uint64)


def byte_rows(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """Bytes of a column of values of one length, uint8 (n, bytes): a view of its memory if it is one chunk."""
    array = _joined(column)
    width = array.type.byte_width
    if len(array) == 0:
        return np.empty((0, width), dtype=np.uint8)
    raw = np.frombuffer(array.buffers()[1], dtype=np.uint8).reshape(-1, width)
    return raw[array.offset : array.offset + len(array)]
