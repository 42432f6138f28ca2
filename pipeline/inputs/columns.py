"""The input's own columns: their names, their types, and their values in some rows.

Those of a tar are the keys of its json members, those of a parquet file stand in its schema. Only numbers, text and
true/false are of use as columns; a column of another type (lists, structs, bytes) is known by name alone. The fields
of an object or struct inside a column, at any depth, are columns too, by the names on the way there: `exif.camera.iso`.
A column that has such a name itself comes first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs.captions import is_text
from tamis.pipeline.inputs.inner_fields import DOT, field_of

NUMBER, TEXT, TRUTH = pa.float64(), pa.string(), pa.bool_()

SINGLE = pa.float32()
"""The type of fractions of 32 bits or fewer: as float64 they would differ from numbers that are equal on paper."""

Columns = Mapping[str, pa.DataType | None]
"""Name -> NUMBER, SINGLE, TEXT or TRUTH; pa.null() where no value has been seen, None for another type."""


def is_number(kind: pa.DataType | None) -> bool:
    """Whether columns of that type hold numbers."""
    return kind in (NUMBER, SINGLE)


def fits(kind: pa.DataType | None, wanted: pa.DataType) -> bool:
    """Whether values of a column of the type ``kind`` can be taken for ``wanted``: numbers are cast."""
    return kind in (wanted, pa.null()) or (is_number(kind) and is_number(wanted))


def whole(columns: Columns) -> Columns:
    """The columns without the fields inside them."""
    return {
        name: kind
        for name, kind in columns.items()
        if DOT not in name or columns.get(name.partition(DOT)[0], pa.null()) is not None
    }


def of_json(objects: Iterable[Mapping[str, Any]]) -> Columns:
    """The keys of JSON objects and of those inside them, each with the type of its first value that is not null."""
    types: dict[str, pa.DataType | None] = {}
    for fields in objects:
        for name, value in _named(fields):
            if types.get(name, pa.null()) == pa.null() and is_text(name):
                types[name] = _json_kind(value)
    return types


def _named(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of an object, then those of objects inside it, by the names on the way to them; those of the first
    object of a list as lists.
    """
    yield from fields.items()
    left: list[tuple[str, Any]] = [item for item in fields.items() if DOT not in item[0]]
    while left:
        name, value = left.pop(0)
        many = isinstance(value, list)
        first = next((one for one in value if isinstance(one, dict)), None) if many else value
        if isinstance(first, dict):
            inner = [
                (f"{name}{DOT}{key}", [one] if many else one)
                for key, one in first.items()
                if DOT not in key
            ]
            yield from (item for item in inner if item[0] not in fields)
            left += inner


def _json_kind(value: Any) -> pa.DataType | None:
    if value is None:
        return pa.null()
    if isinstance(value, bool):  # before int, which it is a kind of
        return TRUTH
    if isinstance(value, (int, float)):
        return NUMBER
    return TEXT if isinstance(value, str) else None


def from_json(
    texts: Sequence[str | None], wanted: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    """The values (n) of some keys in n json objects; a value of another type than the wanted one is null."""
    values: dict[str, list[Any]] = {name: [] for name in wanted}
    for text in texts:
        fields = {} if text is None else json.loads(text)
        for name, kind in wanted.items():
            values[name].append(_as_kind(field_of(fields, name), kind))
    return {name: pa.array(values[name], kind) for name, kind in wanted.items()}


def _as_kind(value: Any, kind: pa.DataType) -> Any:
    if value is None or _json_kind(value) != kind:
        return None
    if kind == NUMBER:
        try:
            return float(value)
        except OverflowError:  # an integer of more than 308 digits
            return None
    return value if kind != TEXT or is_text(value) else None
