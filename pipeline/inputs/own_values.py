"""Values of Arrow's columns as JSON has them: total, for what Python's own objects cannot hold is written as text."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.inner_fields import distinct
from tamis.pipeline.inputs.time_texts import text_of


def values(array: pa.Array) -> list[Any]:
    """The values (n) of an array: numbers, truths, texts, bytes, lists and objects; dates and times as text.

    A decimal with a fraction is a number where a float says the same, else text. Of two fields of one name an object
    has the second as ``a_2``.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return (
            _plain(array)
            if pa.types.is_fixed_size_binary(kind.storage_type)
            else values(array.storage)
        )
    if pa.types.is_dictionary(kind):
        return values(array.dictionary_decode())
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return _times(array)
    if pa.types.is_decimal(kind):
        return [
            None if value is None else _number(value, kind.scale) for value in array.to_pylist()
        ]
    if pa.types.is_nested(kind) and _is_odd(kind):
        return _inner(array)
    return _plain(array)


def _plain(array: pa.Array) -> list[Any]:
    found: list[Any] = array.to_pylist()
    return found


def _times(array: pa.Array) -> list[str | None]:
    width = pa.int32() if array.type.bit_width == 32 else pa.int64()
    text = text_of(array.type)
    return [None if value is None else text(value) for value in array.view(width).to_pylist()]


def _number(value: Decimal, scale: int) -> float | int | str:
    if scale <= 0:
        return int(value)
    number = float(value)
    same = math.isfinite(number) and Decimal(repr(number)) == value
    return number if same else format(value, "f")


def _is_odd(kind: pa.DataType) -> bool:
    """Whether a type has anything that Python's objects may not hold."""
    if isinstance(kind, pa.BaseExtensionType):
        return _is_odd(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _is_odd(kind.value_type)
    if not pa.types.is_nested(kind):
        return bool(pa.types.is_temporal(kind) or pa.types.is_decimal(kind))
    fields = [kind.field(place) for place in range(kind.num_fields)]
    twice = len({field.name for field in fields}) < len(fields)
    return twice or any(_is_odd(field.type) for field in fields)


def _inner(array: pa.Array) -> list[Any]:
    kind, there = array.type, array.is_valid().to_pylist()
    if pa.types.is_struct(kind):
        names = distinct([field.name for field in kind])
        columns = [values(column) for column in array.flatten()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return [row if valid else None for row, valid in zip(rows, there, strict=True)]
    if pa.types.is_map(kind):
        pairs = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
        inner = [(one["key"], one["value"]) for one in values(pairs)]
        starts = array.offsets.to_pylist()
        spans = zip(starts[:-1], starts[1:], there, strict=True)
        return [inner[first:stop] if valid else None for first, stop, valid in spans]
    inner, found, start = values(array.flatten()), list[Any](), 0
    for count in pc.list_value_length(array).to_pylist():
        found.append(None if count is None else inner[start : start + count])
        start += count or 0
    return found


def as_json(value: Any) -> Any:
    """A value as JSON has it: without bytes, which it cannot hold, and what else it has no form for as text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): as_json(inner) for name, inner in value.items() if has_json(inner)}
    if isinstance(value, list | tuple):
        return [None if isinstance(inner, bytes) else as_json(inner) for inner in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def has_json(value: Any) -> bool:
    """Whether JSON has a form for a value."""
    return value is not None and not isinstance(value, bytes)


def text(value: Any) -> str | None:
    """A value as text that says all of it: bytes in hex digits, what else is no text as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(_whole(value), ensure_ascii=False)


def _whole(value: Any) -> Any:
    """The same inside lists and objects; a float that JSON has no form for as Python's."""
    if isinstance(value, dict):
        return {str(name): _whole(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str | float):
        return value
    return str(value)
