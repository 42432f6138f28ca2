"""The input's own columns with their own types: from JSON objects, over files that differ, and as JSON again.

Files of one input may differ in a column's type. The type of the whole is then the smallest that holds all values
(whole numbers and fractions: float64); where there is none, it is text, and a value that is no text is written as JSON.
NaN and infinities, for which JSON has no form, are null there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

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
    kind = _type_of(values)
    return pa.array([_fit(value, kind) for value in values], kind)


def _type_of(values: Iterable[Any]) -> pa.DataType:
    """The type that holds all values of a JSON array, or of a key."""
    kind = pa.null()
    for value in values:
        kind = merged(kind, _kind(value))
    return kind


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


def merged(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type of a column whose values have one type or the other."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(merged(one.value_type, other.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = merged(fields.get(field.name, pa.null()), field.type)
        return pa.struct(list(fields.items()))
    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()


def union(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """All columns of the schemas, in the order in which they first come, each of the type that holds its values."""
    kinds: dict[str, pa.DataType] = {}
    exact: set[str] = set()
    for schema in schemas:
        for field in schema:
            kinds[field.name] = merged(kinds.get(field.name, pa.null()), field.type)
            exact |= {field.name} if field.metadata == EXACT else set()
    kinds |= {name: pa.string() for name in exact if pa.types.is_floating(kinds[name])}
    return pa.schema(list(kinds.items()))


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of ``schema``, of a ``union`` of its own; a column that it lacks is null.

    Text becomes what the schema has instead, where its own is text that can be read so.
    """
    return _table({field.name: _cast(table, field) for field in schema}, table.num_rows)


def _cast(table: pa.Table, field: pa.Field) -> pa.Array:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name].combine_chunks()
    if column.type == field.type:
        return column
    if _is_text(field.type) and pa.types.is_float32(column.type):
        column = pc.if_else(
            pc.is_finite(column), column, None
        )  # then as its few digits are written
    nested = pa.types.is_nested(column.type) or pa.types.is_nested(field.type)
    if not nested and not (_is_text(field.type) and pa.types.is_float64(column.type)):
        try:
            return column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass  # value by value
    return pa.array([_fit(value, field.type) for value in column.to_pylist()], field.type)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fit(value: Any, kind: pa.DataType) -> Any:
    """A value as ``kind`` takes it."""
    missing = isinstance(value, float) and not math.isfinite(value) and _is_text(kind)
    if value is None or missing:
        return None
    if _is_text(kind):
        text = value if isinstance(value, str) else _dumps(value)
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
    return [
        {name: _json(value) for name, value in row.items() if _has_json(value)}
        for row in table.to_pylist()
    ]


def _has_json(value: Any) -> bool:
    return value is not None and not isinstance(value, bytes)


def _json(value: Any) -> Any:
    """A value as JSON has it; what JSON has no form for as text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _json(inner) for name, inner in value.items() if _has_json(inner)}
    if isinstance(value, list | tuple):
        return [None if isinstance(inner, bytes) else _json(inner) for inner in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value) if not isinstance(value, Decimal) else float(value)


def dumped(fields: Mapping[str, Any]) -> bytes:
    """A JSON object as the bytes of a json member."""
    return _dumps(fields).encode()


def _dumps(value: Any) -> str:
    return json.dumps(_json(value), ensure_ascii=False)
