"""Columns of a parquet file that may have LARGE values, by the statistics of its footer."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tamis.pipeline.inputs.own_types import bound
from tamis.pipeline.inputs.parquet.file import BROKEN, InputParquet
from tamis.pipeline.inputs.parquet.leaves import leaf_types


def large_columns(parquet: InputParquet) -> set[str]:
    """The names of the columns with LARGE values at any depth, or without a word about them."""
    found, first = set[str](), 0
    for field in parquet.schema_arrow:
        kinds = leaf_types(field.type)
        if any(_may_be(parquet, first + place, kind) for place, kind in enumerate(kinds)):
            found.add(field.name)
        first += len(kinds)
    return found


def _may_be(parquet: InputParquet, leaf: int, kind: pa.DataType) -> bool:
    most = bound(kind)
    if most is None:
        return False
    return any(end is None or not -most <= end <= most for end in _ends(parquet, leaf, kind))


def _ends(parquet: InputParquet, leaf: int, kind: pa.DataType) -> Iterator[int | None]:
    """The smallest and the largest number of a leaf in each row group; None where the footer does not say it."""
    for group in range(parquet.num_row_groups):
        try:
            chunk = parquet.chunks(group, [leaf])[leaf]
        except BROKEN:
            yield None
            continue
        told = chunk.statistics
        if told is not None and told.has_null_count and told.null_count == chunk.num_values:
            continue
        if told is None or not told.has_min_max:
            yield None
            continue
        for end in (told.min_raw, told.max_raw):
            yield end % 2**64 if isinstance(end, int) and pa.types.is_uint64(kind) else end
