"""Columns of the types that Arrow calls views, of which no rows can be taken: as plain text and bytes."""

from __future__ import annotations

import pyarrow as pa

PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with plain columns. Views inside other values are left: pyarrow writes none into parquet."""
    schema = pa.schema(
        [field.with_type(PLAIN.get(field.type, field.type)) for field in batch.schema]
    )
    return batch if schema == batch.schema else batch.cast(schema)
