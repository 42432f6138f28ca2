"""Columns of tables as arrays, and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.schemas.tables import embedding_type

Halves = npt.NDArray[np.float16]


def centroid_table(rows: npt.NDArray[np.float32]) -> pa.Table:
    """(K, d) float32 as the table of a file of centroids."""
    raw = np.ascontiguousarray(rows, dtype="<f4")
    kind = pa.binary(raw.shape[1] * 4)
    column = pa.FixedSizeBinaryArray.from_buffers(kind, len(raw), [None, pa.py_buffer(raw)])
    return pa.table({"centroid": column})


def centroid_rows(table: pa.Table) -> npt.NDArray[np.float32]:
    """The inverse of ``centroid_table``."""
    column = table["centroid"].combine_chunks()
    return np.frombuffer(column.buffers()[1], dtype="<f4").reshape(len(column), -1)


def vectors(column: pa.ChunkedArray | pa.Array) -> Halves:
    """(n, d) float16 of a column of embeddings, without a copy where it is one chunk."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dim = array.type.byte_width // 2
    numbers = (
        np.frombuffer(array.buffers()[1], dtype=np.float16)
        if len(array)
        else np.empty(0, np.float16)
    )
    return numbers.reshape(-1, dim)[array.offset : array.offset + len(array)]


def column_of(rows: Halves) -> pa.Array:
    """The inverse of ``vectors``."""
    raw = np.ascontiguousarray(rows, dtype="<f2")
    kind = embedding_type(rows.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(raw), [None, pa.py_buffer(raw.tobytes())])


def scatter(table: pa.Table, rows: int) -> pa.Table:
    """A table that holds some rows of a part (column ``row``), laid out over all ``rows`` of it; null elsewhere."""
    positions = np.full(rows, -1, dtype=np.int64)
    positions[table["row"].to_numpy()] = np.arange(table.num_rows)
    picks = pa.array(positions, mask=positions < 0)
    return table.drop_columns(["row"]).combine_chunks().take(picks)


def uid_words(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """(n, 2) the big-endian halves of 16-byte values: they sort as the bytes, and as the hex digits, do."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if len(array) == 0:
        return np.empty((0, 2), dtype=np.uint64)
    raw = np.frombuffer(array.buffers()[1], dtype=">u8").reshape(-1, 2)
    return raw[array.offset : array.offset + len(array)].astype(np.uint64)
