"""The input's own columns with their own types: from JSON objects, over files that differ, and as JSON again.

Files of one input may differ in a column's type. The type of the whole is then one of ``own_types`` that holds all
values; where there is none, it is text, and a value that is no text is written as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import own_types, own_values
from tamis.pipeline.inputs.captions import is_text

INT64 = range(-(2**63), 2**63)

EXACT: Mapping[bytes, bytes] = {b"whole": b"exact"}
"""The metadata of a field of whole numbers that beside fractions become text: as float64 some are other numbers."""


def of_objects(
    objects: Sequence[Mapping[str, Any] | None], wanted: Collection[str] | None = None
) -> pa.Table:
    """A column for each key of n JSON objects, in the order in which the keys first come; null where one has none.

    ``wanted``: the keys that become columns; all that are text by default.
    """
    alike = {tuple(fields or ()): None for fields in objects}
    if len(alike) == 1:  # all have the same keys in the same order: no look-up of each
        (names,) = alike
        values = zip(*(one.values() for one in objects if one is not None), strict=True)
        columns: Iterable[Sequence[Any]] = values if names else ()
    else:
        names = tuple(dict.fromkeys(name for keys in alike for name in keys))
        columns = ([None if one is None else one.get(name) for one in objects] for name in names)
    arrays = {
        name: _column(column)
        for name, column in zip(names, columns, strict=True)
        if is_text(name) and (wanted is None or name in wanted)
    }
    return _table(arrays, len(objects))


def _table(arrays: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """A table that keeps its number of rows where it has no column."""
    if arrays:
        return pa.table(arrays)
    return pa.table({"": pa.nulls(rows)}).select([])


def _column(values: Sequence[Any]) -> pa.Array:
    kind = _plain(values)
    if kind is not None:
        # Too large a number, or half a surrogate pair: then value by value, as all others.
        with suppress(OverflowError, UnicodeEncodeError):
            return pa.array(values, kind)
    return _column_of_any(values)


def _plain(values: Sequence[Any]) -> pa.DataType | None:
    """The type of values that are all of one kind of scalar, or lists of such, or null; None where they are not."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {list}:
        inner = _plain([value for one in values if one is not None for value in one])
        return None if inner is None else pa.list_(inner)
    return PLAIN.get(*kinds) if len(kinds) == 1 else None


def _column_of_any(values: Sequence[Any]) -> pa.Array:
    return of_kind(values, _type_of(values))


def of_kind(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Values of JSON as a type that holds them."""
    return pa.array([_fit(value, kind) for value in values], kind)


def _type_of(values: Iterable[Any]) -> pa.DataType:
    """The type that holds all values of a JSON array, or of a key."""
    some = list(values)
    large = any(map(_is_large, some))
    kind = pa.null()
    for value in some:
        kind = own_types.merged(kind, _kind(value), large)
    return kind


def _is_large(value: Any) -> bool:
    """Whether a JSON value has a whole number that float64 does not hold, at any depth."""
    if isinstance(value, list):
        return any(map(_is_large, value))
    if isinstance(value, dict):
        return any(map(_is_large, value.values()))
    return type(value) is int and abs(value) > own_types.EXACT


SCALARS = {type(None): pa.null(), bool: pa.bool_(), float: pa.float64(), str: pa.string()}
"""Python type of a JSON value -> type of its column."""

PLAIN = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
"""Python type of a JSON value -> type of a column in which all are so."""


def _kind(value: Any) -> pa.DataType:
    if type(value) in SCALARS:
        return SCALARS[type(value)]
    if isinstance(value, int) and value in INT64:
        return pa.int64()
    if isinstance(value, list):
        return pa.list_(_type_of(value))
    if isinstance(value, dict) and value and all(map(is_text, value)):
        return pa.struct([(name, _kind(inner)) for name, inner in value.items()])
    return pa.string()  # a struct without fields cannot be written


def schema_of(table: pa.Table) -> pa.Schema:
    """The schema of a table, with the columns marked that have LARGE values."""
    return pa.schema(
        [
            own_types.marked(field, own_types.has_large(column))
            for field, column in zip(table.schema, table.columns, strict=True)
        ]
    )


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of ``schema``, of a ``union`` of its own; a column that it lacks is null.

    Text becomes what the schema has instead, where its own is text that can be read so.
    """
    return _table({field.name: _cast(table, field) for field in schema}, table.num_rows)


def _cast(table: pa.Table, field: pa.Field) -> pa.Array:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    return own_types.cast(table[field.name].combine_chunks(), field.type)


def _fit(value: Any, kind: pa.DataType) -> Any:
    """A value of JSON as ``kind`` takes it."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        text = own_values.text(value) or ""
        return text if is_text(text) else text.encode("utf-8", "replace").decode()
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_list(kind):
        return [_fit(inner, kind.value_type) for inner in value]
    if pa.types.is_struct(kind) and isinstance(value, dict):
        return {field.name: _fit(value.get(field.name), field.type) for field in kind}
    return value


def objects(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as JSON objects; without nulls' columns, and without bytes, which JSON cannot hold."""
    names = table.column_names
    columns = [own_values.values(table[name].combine_chunks()) for name in names]
    rows = zip(*columns, strict=True) if names else ((),) * table.num_rows
    return [
        {
            name: own_values.as_json(value)
            for name, value in zip(names, row, strict=True)
            if own_values.has_json(value)
        }
        for row in rows
    ]


def dumped(fields: Mapping[str, Any]) -> bytes:
    """A JSON object as the bytes of a json member."""
    return _dumps(fields).encode()


def _dumps(value: Any) -> str:
    return json.dumps(own_values.as_json(value), ensure_ascii=False)
