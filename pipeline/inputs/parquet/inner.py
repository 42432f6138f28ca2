"""Fields inside the columns of Arrow tables, by the names on the way to them, as ``inner_fields`` has them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.inner_fields import DOT, place_of

Way = tuple[str, ...]
"""A column's name, and those on the way to a field inside it."""

Name = str | Way
"""A field by the way to it; or by one name, which is a column's, else has dots between those on the way."""


def way_of(schema: pa.Schema, name: Name) -> Way:
    """The way that a name says: a column that is called so comes first."""
    if not isinstance(name, str):
        return name
    return (name,) if name in schema.names else tuple(name.split(DOT))


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def inner_type(schema: pa.Schema, name: Name) -> pa.DataType | None:
    """The type of a column, or of a field inside one; None where the file has none of that name."""
    column, *keys = way_of(schema, name)
    place = schema.get_field_index(column)
    kind: pa.DataType | None = schema.field(place).type if place >= 0 else None
    for key in keys:
        kind = None if kind is None else _type_below(kind, key)
    return kind


def _type_below(kind: pa.DataType, key: str) -> pa.DataType | None:
    if pa.types.is_struct(kind):
        return kind.field(key).type if kind.get_field_index(key) >= 0 else None
    if not is_list(kind):
        return None
    if place_of(key) is not None:
        return kind.value_type
    inner = _type_below(kind.value_type, key)
    return None if inner is None else pa.list_(inner)


def stored_way(schema: pa.Schema, name: Name) -> Way:
    """What is decoded for a field: itself, or the column or field with the list that it stands in."""
    way = way_of(schema, name)
    for count in range(1, len(way)):
        kind = inner_type(schema, way[:count])
        if kind is not None and is_list(kind):
            return way[:count]
    return way


def field_of(batch: pa.RecordBatch, name: Name) -> pa.Array:
    """A column of a batch, or a field inside one (``image.bytes``, ``images.0``), which is null where that has none."""
    column, *keys = way_of(batch.schema, name)
    array = inner_array(batch.column(column), keys)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def inner_array(array: pa.Array, keys: list[str]) -> pa.Array:
    """The values behind some names inside an array (n), n again."""
    for key in keys:
        array = _array_below(array, key)
    return array


def _array_below(array: pa.Array, key: str) -> pa.Array:
    if pa.types.is_struct(array.type):
        return pc.struct_field(array, key)
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    offsets, place = array.offsets.to_numpy().astype(np.int64), place_of(key)
    missing = np.asarray(array.is_null())
    if place is not None:
        there = (np.diff(offsets) > place) & ~missing
        return array.values.take(pa.array(offsets[:-1] + place, mask=~there))
    inner = _array_below(array.values, key)
    return pa.LargeListArray.from_arrays(pa.array(offsets), inner, mask=pa.array(missing))
