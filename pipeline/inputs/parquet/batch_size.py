"""Rows of a record batch: as many as stay within a budget of bytes, whatever a small file unfolds to.

A dictionary holds a value once, and a batch once for each row; compressed pages unfold a thousandfold. Footers tell the
bytes of a column before compression, dictionaries their longest value.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipeline.inputs.parquet.file import InputParquet
from tamis.pipeline.inputs.parquet.inner import Name
from tamis.pipeline.inputs.parquet.leaves import chosen

BATCH_BYTES = 32 << 20
"""Bytes of a batch, about."""

DOUBTFUL_BYTES, DOUBTFUL_RATIO = 16 << 20, 8
"""Bytes of a column in a row group, and how often its bytes in the file, from which its longest value is asked for."""


def batch_rows(
    parquet: InputParquet, group: int, names: Sequence[Name], most: int, uneven: int | None = None
) -> int:
    """Rows, at most ``most``, of a batch of the columns ``names`` of one row group; of a large one ``uneven``."""
    rows = max(1, parquet.metadata.row_group(group).num_rows)
    leaves, _ = chosen(parquet.schema_arrow, names)
    chunks = parquet.chunks(group, leaves)
    size = sum(chunk.total_uncompressed_size for chunk in chunks.values())
    most = min(most, uneven) if uneven and size > BATCH_BYTES else most
    even = size / rows
    doubtful = [
        number
        for number, chunk in chunks.items()
        if chunk.physical_type == "BYTE_ARRAY"
        and chunk.has_dictionary_page
        and chunk.total_uncompressed_size * most > BATCH_BYTES
        and _is_doubtful(chunk)
    ]
    cell = max(even, _longest(parquet, group, doubtful) if doubtful else 0.0)
    return int(min(most, max(1.0, BATCH_BYTES / max(1.0, cell))))


def _is_doubtful(chunk: pq.ColumnChunkMetaData) -> bool:
    """Whether a dictionary is looked into, which takes as long as some thousand rows: captions and URLs of one megabyte
    that shrink two- to fivefold are not.
    """
    size = chunk.total_uncompressed_size
    return bool(size > DOUBTFUL_BYTES or size > DOUBTFUL_RATIO * chunk.total_compressed_size)


def _longest(parquet: InputParquet, group: int, leaves: Sequence[int]) -> float:
    """Bytes of the longest value in the dictionaries of some leaves."""
    schema = parquet.metadata.schema
    reader = parquet.with_dictionaries([schema.column(number).path for number in leaves])
    longest = 0
    for number in leaves:
        batch = next(reader.of_leaves(1, [group], [number]), None)
        if batch is not None:
            longest = max(longest, _length(batch.column(0)))
    return float(longest)


def _length(column: pa.Array) -> int:
    """Bytes of the longest value of an array, of its dictionary's if it has one, or of its field's."""
    while pa.types.is_struct(column.type) and column.type.num_fields == 1:
        column = column.field(0)
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not (pa.types.is_string(values.type) or pa.types.is_binary(values.type)):
        return 0
    return int(pc.max(pc.binary_length(values)).as_py() or 0)
