"""The columns of a parquet file by name, and the leaves in which the file stores each.

A name stands for one column, whatever else is called so: a flat column `image.bytes` is another than the field `bytes`
of a struct `image`. Of columns of one name the second is called `lic_2` here, or by the next number that is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from tamis.pipeline.inputs.inner_fields import distinct
from tamis.pipeline.inputs.parquet.inner import Name, way_of

TWICE = b"tamis_twice"
"""The key of the metadata of a field that is called otherwise here; the value is its name in the file."""


def unique(schema: pa.Schema) -> pa.Schema:
    """The schema with each name once."""
    fields = [
        field
        if field.name == name
        else field.with_name(name).with_metadata({TWICE: field.name.encode()})
        for field, name in zip(schema, distinct(schema.names), strict=True)
    ]
    return pa.schema(fields, metadata=schema.metadata)


def is_twice(schema: pa.Schema, name: str) -> bool:
    """Whether the file of a schema that ``unique`` has made has several columns of that name."""
    return any((field.metadata or {}).get(TWICE) == name.encode() for field in schema)


def chosen(schema: pa.Schema, names: Iterable[Name]) -> tuple[list[int], list[str]]:
    """(leaves, columns): the numbers of the leaves that store some columns and fields, ascending, and the names of the
    columns that a reader makes of these. A name that the schema lacks has none.
    """
    wanted: dict[str, list[Sequence[str]]] = {}
    for name in names:
        column, *keys = way_of(schema, name)
        wanted.setdefault(column, []).append(keys)
    leaves: list[int] = []
    columns: list[str] = []
    first = 0
    for field in schema:
        count = leaf_count(field.type)
        found = {n for keys in wanted.get(field.name, ()) for n in _below(field.type, keys)}
        if found:
            leaves += sorted(first + n for n in found)
            columns.append(field.name)
        first += count
    return leaves, columns


def _below(kind: pa.DataType, keys: Sequence[str]) -> Iterator[int]:
    """The leaves of a type that a field behind some keys is stored in, or all fields of that name, counted from the
    type's first one.
    """
    kind = _stored(kind)
    if not keys:
        yield from range(leaf_count(kind))
    elif pa.types.is_struct(kind):
        first = 0
        for field in kind:
            if field.name == keys[0]:
                yield from (first + place for place in _below(field.type, keys[1:]))
            first += leaf_count(field.type)


def leaf_count(kind: pa.DataType) -> int:
    """The leaves in which parquet stores a column of a type."""
    return len(leaf_types(kind))


def leaf_types(kind: pa.DataType) -> list[pa.DataType]:
    """The types of these leaves."""
    kind = _stored(kind)
    if pa.types.is_dictionary(kind):
        return leaf_types(kind.value_type)
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    return [leaf for one in inner for leaf in leaf_types(one)] or [kind]


def _stored(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
