"""The type of a column over files that differ: the smallest that holds all values as they are, else text.

Whole numbers and fractions are float64, and times of several units the finest, as long as no value is LARGE: a column
that may have one says so in its field's metadata, for its type does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs import own_values

LARGE = b"tamis_large"
"""The key of the metadata of a column with whole numbers beyond 2^53, or times that are no nanoseconds of 64 bits."""

EXACT = 2**53
"""Whole numbers that float64 holds, each with its neighbours."""

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
"""Of whole numbers of so many bits, at most."""

MOST_DIGITS = 76
"""Of a decimal number."""


def marked(field: pa.Field, large: bool) -> pa.Field:
    """A field that says whether its column may have LARGE values."""
    return field.with_metadata({LARGE: b"1"}) if large else field.remove_metadata()


def is_marked(field: pa.Field) -> bool:
    """Whether a field says so."""
    return LARGE in (field.metadata or {})


def bound(kind: pa.DataType) -> int | None:
    """The largest number, in a type's own unit, that is not LARGE; None where none is."""
    if pa.types.is_int64(kind) or pa.types.is_uint64(kind):
        return EXACT
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return (2**63 - 1) // NANOSECONDS[kind.unit]
    return None


def has_large(array: pa.Array | pa.ChunkedArray) -> bool:
    """Whether an array has a LARGE value, at any depth."""
    kind = array.type
    if isinstance(array, pa.ChunkedArray):
        inner = array.chunks
    elif pa.types.is_dictionary(kind):
        inner = [array.dictionary]
    elif pa.types.is_struct(kind):
        inner = array.flatten()
    elif pa.types.is_map(kind):
        inner = [array.keys, array.items]
    elif pa.types.is_nested(kind):
        inner = [array.flatten()]
    else:
        return _is_large(array)
    return any(map(has_large, inner))


def _is_large(array: pa.Array) -> bool:
    most = bound(array.type)
    if most is None or not len(array):
        return False
    numbers = array if pa.types.is_integer(array.type) else array.view(pa.int64())
    ends = pc.min_max(numbers).as_py()
    return any(end is not None and not -most <= end <= most for end in ends.values())


def merged(one: pa.DataType, other: pa.DataType, large: bool = False) -> pa.DataType:
    """The type of a column whose values have one type or the other; ``large``: it may have LARGE values."""
    one, other = _plain(one), _plain(other)
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for rule in (_number, _decimal, _time, _letters):
        found = rule(one, other, large)
        if found is not None:
            return found
    if is_list(one) and is_list(other):
        inner = merged(one.value_type, other.value_type, large)
        long = pa.types.is_large_list(one) or pa.types.is_large_list(other)
        return pa.large_list(inner) if long else pa.list_(inner)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return _struct(one, other, large)
    return pa.string()


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values, which may differ from file to file."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _struct(one: pa.DataType, other: pa.DataType, large: bool) -> pa.DataType:
    fields: dict[str, pa.DataType] = {field.name: field.type for field in one}
    if len(fields) < one.num_fields or len({field.name for field in other}) < other.num_fields:
        return pa.string()
    for field in other:
        fields[field.name] = merged(fields.get(field.name, pa.null()), field.type, large)
    return pa.struct(list(fields.items()))


def _number(one: pa.DataType, other: pa.DataType, large: bool) -> pa.DataType | None:
    """Of whole numbers and floats."""
    types = pa.types
    kinds = [one, other]
    if all(map(types.is_floating, kinds)):
        return max(kinds, key=lambda kind: kind.bit_width)
    if any(map(types.is_floating, kinds)) and any(map(types.is_integer, kinds)):
        return pa.string() if large else pa.float64()
    if not all(map(types.is_integer, kinds)):
        return None
    signed = [kind for kind in kinds if types.is_signed_integer(kind)]
    wide = max(kinds, key=lambda kind: kind.bit_width)
    if len(signed) != 1 or (wide in signed and one.bit_width != other.bit_width):
        return wide
    by_bits = {8: pa.int16(), 16: pa.int32(), 32: pa.int64()}
    return by_bits.get(wide.bit_width, pa.decimal128(DIGITS[64], 0))


def _decimal(one: pa.DataType, other: pa.DataType, large: bool) -> pa.DataType | None:
    """Of decimals, and decimals and whole numbers."""
    del large
    types = pa.types
    kinds = [one, other]
    if not any(map(types.is_decimal, kinds)) or not all(
        types.is_decimal(kind) or types.is_integer(kind) for kind in kinds
    ):
        return None
    shapes = [
        (kind.precision, kind.scale) if types.is_decimal(kind) else (DIGITS[kind.bit_width], 0)
        for kind in kinds
    ]
    scale = max(scale for _, scale in shapes)
    digits = scale + max(precision - scale for precision, scale in shapes)
    if digits > MOST_DIGITS:
        return pa.string()
    return pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)


def _time(one: pa.DataType, other: pa.DataType, large: bool) -> pa.DataType | None:
    """Of dates, or times of one kind."""
    types = pa.types
    kinds = [one, other]
    if all(map(types.is_date, kinds)):
        return pa.date64()
    if all(map(types.is_time, kinds)):
        return max(kinds, key=lambda kind: -NANOSECONDS[kind.unit])
    stamps = all(map(types.is_timestamp, kinds)) and one.tz == other.tz
    if not stamps and not all(map(types.is_duration, kinds)):
        return None
    return pa.string() if large else max(kinds, key=lambda kind: -NANOSECONDS[kind.unit])


def _letters(one: pa.DataType, other: pa.DataType, large: bool) -> pa.DataType | None:
    """Of text, or bytes, or both."""
    del large
    types = pa.types
    texts = [_is_text(kind) for kind in (one, other)]
    if all(texts):
        return pa.large_string()
    if not all(
        is_text or is_bytes(kind) for is_text, kind in zip(texts, (one, other), strict=True)
    ):
        return None
    short = (types.is_string, types.is_binary, types.is_fixed_size_binary)
    is_short = all(any(test(kind) for test in short) for kind in (one, other))
    return pa.binary() if is_short else pa.large_binary()


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of this type are bytes."""
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def union(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """All columns of the schemas, in the order in which they first come, each of the type that holds its values, and
    marked where it may have LARGE ones.
    """
    fields = [field for schema in schemas for field in schema]
    large = {field.name for field in fields if is_marked(field)}
    kinds: dict[str, pa.DataType] = {}
    for field in fields:
        name = field.name
        kinds[name] = (
            merged(kinds[name], field.type, name in large) if name in kinds else field.type
        )
    return pa.schema([marked(pa.field(name, kind), name in large) for name, kind in kinds.items()])


def cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An array (n) as a type that ``merged`` has made of its own and others."""
    if array.type == kind:
        return array
    if pa.types.is_dictionary(array.type):
        return cast(array.dictionary_decode(), kind)
    letters = _is_text(kind) or is_bytes(kind)
    if pa.types.is_null(array.type) or pa.types.is_null(kind):
        found = pa.nulls(len(array), kind)
    elif letters and not (_is_text(array.type) or (is_bytes(array.type) and is_bytes(kind))):
        texts = [own_values.text(value) for value in own_values.values(array)]
        found = pa.array(texts, pa.large_string()).cast(kind)
    elif pa.types.is_struct(kind):
        found = _as_struct(array, kind)
    elif is_list(kind) and not pa.types.is_fixed_size_list(kind):
        found = _as_list(array, kind)
    else:
        try:
            found = array.cast(kind)
        except pa.ArrowInvalid:  # the footer of the file says less than it holds
            found = array.cast(kind, safe=False)
    return found


def _as_struct(array: pa.Array, kind: pa.DataType) -> pa.Array:
    had: Mapping[str, pa.Array] = dict(
        zip([field.name for field in array.type], array.flatten(), strict=True)
    )
    columns = [
        cast(had[field.name], field.type) if field.name in had else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=array.is_null())


def _as_list(array: pa.Array, kind: pa.DataType) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    long = pa.types.is_large_list(kind)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64 if long else np.int32)
    make = pa.LargeListArray if long else pa.ListArray
    inner = cast(array.flatten(), kind.value_type)
    return make.from_arrays(pa.array(offsets), inner, type=kind, mask=array.is_null())
