"""Columns of the types that Arrow calls views, of which no rows can be taken: as plain text, bytes and lists."""

from __future__ import annotations

import pyarrow as pa

from tamis.pipeline.inputs.own_types import cast

PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with plain columns."""
    schema = pa.schema([field.with_type(_plain(field.type, texts=True)) for field in batch.schema])
    if schema == batch.schema:
        return batch
    # Not Arrow's cast of batches: lists that it makes of views lack their last offset.
    arrays = [cast(one, kind) for one, kind in zip(batch.columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def without_list_views(kind: pa.DataType) -> pa.DataType:
    """A type with plain lists, of which Arrow makes no views again; parquet stores them alike."""
    return _plain(kind, texts=False)


def _plain(kind: pa.DataType, *, texts: bool) -> pa.DataType:
    """A type without views of lists, and of texts and bytes where it is said."""
    types = pa.types
    if not types.is_nested(kind):
        return PLAIN.get(kind, kind) if texts else kind
    fields = [kind.field(place) for place in range(kind.num_fields)]
    inner = [field.with_type(_plain(field.type, texts=texts)) for field in fields]
    if types.is_struct(kind):
        return pa.struct(inner)
    if types.is_map(kind):
        key, item = (_plain(one, texts=texts) for one in (kind.key_type, kind.item_type))
        return pa.map_(key, kind.item_field.with_type(item), kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    if types.is_large_list(kind) or types.is_large_list_view(kind):
        return pa.large_list(inner[0])
    return pa.list_(inner[0]) if types.is_list(kind) or types.is_list_view(kind) else kind
