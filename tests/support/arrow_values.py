"""Arrow's types that a parquet file can have, and arrays of their extreme values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

UNITS = ("ms", "us", "ns")
INT = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
UINT = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
ZONES = (None, "UTC", "Europe/Berlin", "+05:30", "Nowhere/City")

SCALARS: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.bool_(),
    *INT.values(),
    *UINT.values(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(5, 2),
    pa.decimal128(38, 0),
    pa.decimal128(38, 38),
    pa.decimal256(76, 10),
    pa.date32(),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit, zone) for unit in UNITS for zone in ZONES),
    *(pa.duration(unit) for unit in ("s", *UNITS)),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.binary(3),
)
"""Types without types inside them."""

TYPES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        inner.map(pa.list_)
        | inner.map(pa.large_list)
        | inner.map(lambda kind: pa.list_(kind, 2))
        | st.lists(st.tuples(st.sampled_from("xyz"), inner), min_size=1, max_size=3).map(pa.struct)
        | inner.map(lambda kind: pa.map_(pa.string(), kind))
    ),
    max_leaves=3,
)


def ends(kind: pa.DataType) -> pa.Array:
    """Three values: the least, the greatest, and null."""
    types = pa.types
    if types.is_nested(kind):
        return _nested(kind)
    if types.is_integer(kind):
        return _whole(kind)
    if types.is_time(kind):
        day = 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        return pa.array([0, day - 1, None], INT[kind.bit_width]).view(kind)
    if types.is_temporal(kind):
        return _whole(INT[kind.bit_width]).view(kind)
    return pa.array([*_two(kind), None]).cast(kind)


def _two(kind: pa.DataType) -> list[Any]:
    types = pa.types
    if types.is_decimal(kind):
        most = Decimal((0, (9,) * kind.precision, -kind.scale))
        return [most.copy_negate(), most]
    if types.is_floating(kind):
        most_of = {16: 65504.0, 32: 3.4028234663852886e38, 64: 1.7976931348623157e308}
        return [most_of[kind.bit_width], float("-inf")]
    if types.is_fixed_size_binary(kind):
        return [b"\x00" * kind.byte_width, b"\xff" * kind.byte_width]
    if types.is_null(kind) or types.is_boolean(kind):
        return [None, None] if types.is_null(kind) else [True, False]
    is_text = types.is_string(kind) or types.is_large_string(kind)
    return ["", "é\x1b\u202e"] if is_text else [b"", b"\xff\x00"]


def _whole(kind: pa.DataType) -> pa.Array:
    bits = kind.bit_width
    if pa.types.is_unsigned_integer(kind):
        return pa.array([0, 2**bits - 1, None], kind)
    return pa.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, None], kind)


def _nested(kind: pa.DataType) -> pa.Array:
    types = pa.types
    mask = pa.array([False, False, True])
    if types.is_struct(kind):
        columns = [ends(field.type) for field in kind]
        return pa.StructArray.from_arrays(columns, fields=list(kind), mask=mask)
    offsets = pa.array([0, 1, 3, 3], pa.int64() if types.is_large_list(kind) else pa.int32())
    if types.is_map(kind):
        keys = pa.array(["a", "b", "c"], kind.key_type)
        return pa.MapArray.from_arrays(offsets, keys, ends(kind.item_type), kind, mask=mask)
    inner = ends(kind.value_type)
    if types.is_fixed_size_list(kind):
        both = inner.take(pa.array([0, 1, 1, 2, 2, 0]))
        return pa.FixedSizeListArray.from_arrays(both, type=kind, mask=mask)
    make = pa.LargeListArray if types.is_large_list(kind) else pa.ListArray
    return make.from_arrays(offsets, inner, type=kind, mask=mask)
