"""The parquet file of one shard, a row group at a time: with pictures in it, one holds few samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.picture_formats import SUFFIXES
from tamis.pipeline.results.sidecars import PICTURE, Layout
from tamis.pipeline.steps.write.columns import Piece, gathered, has_pictures

GROUP_BYTES = 32 << 20
"""Bytes of pictures from which a row group ends."""

TABLE_BYTES = 64 << 20
"""Bytes of other columns from which one ends: a shard of plain metadata is one row group."""


class Sidecar:
    """The fitted pieces' rows. ``rows`` counts those made so far, ``successes`` those whose picture is in the shard."""

    def __init__(self, layout: Layout, in_tar: bool) -> None:
        self._layout, self._in_tar = layout, in_tar
        self._schema = layout.schema()
        self._in_table = bool(layout.pictures) or PICTURE in layout.ours.names
        self.rows = self.successes = 0

    def groups(self, pieces: Iterable[Piece]) -> Iterator[pa.Table]:
        """The row groups."""
        tables = self._tables(pieces)
        if self._in_table:
            yield from tables
        else:
            yield from (table.combine_chunks() for table in gathered(tables, TABLE_BYTES))

    def _tables(self, pieces: Iterable[Piece]) -> Iterator[pa.Table]:
        for piece in pieces:
            inside = self._in_table and has_pictures(piece.rows)
            cuts = [0, piece.rows.num_rows]
            if inside:
                cuts = _cuts(piece.rows["image_size"].to_numpy())
            for first, stop in pairwise(cuts):
                data = list(islice(piece.pictures, stop - first)) if inside else None
                yield self._table(piece.slice(first, stop), data)

    def _table(self, piece: Piece, pictures: list[bytes] | None) -> pa.Table:
        rows, keys = piece.rows.num_rows, piece.keys
        inside = self._in_tar or pictures is not None
        self.rows += rows
        self.successes += rows if inside else 0
        ours: dict[str, Any] = {name: piece.ours[name] for name in piece.ours.column_names}
        ours |= {"key": keys, "status": ["success"] * rows if inside else None}
        column = None
        if pictures is not None:
            picture = format_of(piece.file).picture_field(piece.file)
            column = None if picture is None else picture.name
            if column is None and PICTURE in self._layout.pictures:
                column = PICTURE
            elif column is None:
                endings = [SUFFIXES.get(e, e) for e in piece.rows["image_format"].to_pylist()]
                named = zip(pictures, keys, endings, strict=True)
                ours[PICTURE] = [{"bytes": b, "path": f"{key}.{end}"} for b, key, end in named]
        arrays = {
            name: _array(ours.get(our), self._layout.ours.field(our).type, rows)
            for our, name in self._layout.names.items()
        }
        arrays |= {name: piece.own[name].combine_chunks() for name in piece.own.column_names}
        if column is not None:
            arrays[column] = _with_bytes(arrays[column], pictures or [])
        return pa.Table.from_arrays(
            [arrays[field.name] for field in self._schema], schema=self._schema
        )


def _cuts(sizes: Any) -> list[int]:
    """The bounds of the row groups of a piece's pictures."""
    numbers = np.cumsum(sizes) // GROUP_BYTES
    return [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(sizes)]


def _array(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, pa.ChunkedArray):
        return values.cast(kind).combine_chunks()
    return pa.array(values, kind)


def _with_bytes(column: pa.Array, pictures: Sequence[bytes]) -> pa.Array:
    """A column of pictures with their bytes: flat, or in the field ``bytes`` of a struct."""
    if not pa.types.is_struct(column.type):
        return pa.array(pictures, column.type)
    arrays = [
        pa.array(pictures, field.type) if field.name == "bytes" else column.field(field.name)
        for field in column.type
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(column.type))
