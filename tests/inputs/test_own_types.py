"""Whatever types a column has in two files, its values come out as they went in, or as their exact text."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import own_columns, own_types, own_values
from tamis.pipeline.inputs.parquet.file import InputParquet
from tamis.pipeline.inputs.parquet.large import large_columns
from tests.support.arrow_values import SCALARS, TYPES, ends

PLAIN = (
    pa.int64(),
    pa.uint64(),
    pa.float64(),
    pa.float32(),
    pa.timestamp("ms"),
    pa.timestamp("ns"),
)
MORE = [*PLAIN, pa.list_(pa.int64()), pa.struct([("x", pa.int64())])]


def is_same(before: Any, after: Any) -> bool:
    """Whether a value is the same in a type that holds it, or is its text."""
    if before is None or after is None:
        return before is after
    if isinstance(before, dict) and isinstance(after, dict):
        return all(is_same(before.get(name), after[name]) for name in after) and set(before) <= set(
            after
        )
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(is_same, before, after))
    if isinstance(after, bytes) and not isinstance(before, bytes):
        return is_same(before, after.decode())
    if isinstance(after, str):
        return after == own_values.text(before) or _is_number(before, after)
    is_whole = isinstance(before, int) and not isinstance(before, bool)
    return (is_whole or type(before) is type(after)) and bool(before == after)


def _is_number(before: Any, after: str) -> bool:
    """Whether a text is that of a number, as decimals of other digits are written."""
    with suppress(ArithmeticError, TypeError):
        return not isinstance(before, bool) and Decimal(before) == Decimal(after)
    return False


def joined(tables: list[pa.Table]) -> list[tuple[list[Any], list[Any]]]:
    """(before, after) of the column `a` of each table, in one type, and out of a parquet file again."""
    schema = own_types.union(map(own_columns.schema_of, tables))
    found = []
    for table in tables:
        fitted = own_columns.fitted(table, schema)
        fitted.validate(full=True)
        out = io.BytesIO()
        pq.write_table(fitted, out)
        stored = pq.ParquetFile(out).read()
        both = (one["a"].combine_chunks() for one in (table, stored))
        before, after = map(own_values.values, both)
        found.append((before, after))
    return found


@given(TYPES, TYPES)
def test_a_type_of_two_files_holds_the_values_of_both(one: pa.DataType, other: pa.DataType) -> None:
    for before, after in joined([pa.table({"a": ends(kind)}) for kind in (one, other)]):
        assert all(map(is_same, before, after)), (before, after)


@pytest.mark.parametrize("one", SCALARS, ids=str)
def test_a_type_of_two_plain_columns_holds_the_values_of_both(one: pa.DataType) -> None:
    for other in SCALARS:
        for before, after in joined([pa.table({"a": ends(kind)}) for kind in (one, other)]):
            assert all(map(is_same, before, after)), (str(other), before, after)


@given(st.lists(st.sampled_from(SCALARS), min_size=3, max_size=4))
def test_a_type_of_several_files_holds_the_values_of_all(kinds: list[pa.DataType]) -> None:
    for before, after in joined([pa.table({"a": ends(kind)}) for kind in kinds]):
        assert all(map(is_same, before, after)), (before, after)


@pytest.mark.parametrize(
    ("one", "other", "large", "whole"),
    [
        (pa.int64(), pa.float64(), False, pa.float64()),
        (pa.int64(), pa.float64(), True, pa.string()),
        (pa.int32(), pa.float32(), False, pa.float64()),
        (pa.int64(), pa.uint64(), True, pa.decimal128(20, 0)),
        (pa.int32(), pa.uint32(), False, pa.int64()),
        (pa.decimal128(5, 2), pa.int8(), False, pa.decimal128(5, 2)),
        (pa.decimal128(5, 2), pa.float64(), False, pa.string()),
        (pa.timestamp("ms"), pa.timestamp("ns"), False, pa.timestamp("ns")),
        (pa.timestamp("ms"), pa.timestamp("ns"), True, pa.string()),
        (pa.timestamp("ms"), pa.timestamp("ms", "UTC"), False, pa.string()),
        (pa.string(), pa.large_string(), False, pa.large_string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string(), False, pa.string()),
        (pa.list_(pa.int64()), pa.list_(pa.float64(), 2), False, pa.list_(pa.float64())),
        (pa.bool_(), pa.int64(), False, pa.string()),
    ],
    ids=str,
)
def test_the_type_of_two(one: Any, other: Any, large: bool, whole: Any) -> None:
    assert own_types.merged(one, other, large) == whole
    assert own_types.merged(other, one, large) == whole


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("kind", MORE, ids=str)
def test_the_footer_says_whether_values_are_large(kind: pa.DataType, statistics: bool) -> None:
    small = pa.array([1, None]).cast(kind) if not pa.types.is_nested(kind) else pa.nulls(2, kind)
    for array in (small, ends(kind)):
        out = io.BytesIO()
        pq.write_table(pa.table({"a": array}), out, write_statistics=statistics)
        found = "a" in large_columns(InputParquet(out))
        assert found >= own_types.has_large(array)
        if statistics:
            assert found == own_types.has_large(array)


@given(TYPES)
def test_any_values_have_a_json(kind: pa.DataType) -> None:
    array = ends(kind)
    for rows in (array, array.slice(1), array.slice(2)):
        for one in own_columns.objects(pa.table({"a": rows})):
            json.loads(own_columns.dumped(one))
        assert own_values.values(rows) == own_values.values(array)[len(array) - len(rows) :]


def test_decimals_are_numbers_where_these_say_the_same() -> None:
    values = [Decimal("1.10"), Decimal("123456789012345678.25"), Decimal("2.00")]
    assert own_values.values(pa.array(values)) == [1.1, "123456789012345678.25", 2.0]
    assert own_values.values(pa.array([Decimal(10**30)])) == [10**30]


def test_fields_of_one_name_are_told_apart() -> None:
    two = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert own_values.values(two) == [{"a": 1, "a_2": 2}]


MIDDLE = datetime.fromisoformat("5000-01-01")
MOMENTS = st.datetimes(MIDDLE.replace(year=1, day=2), MIDDLE.replace(year=9999, day=2))


@given(MOMENTS, st.sampled_from([None, "UTC", "Europe/Berlin", "+05:30", "-00:30"]))
def test_times_are_written_as_python_writes_them(moment: datetime, zone: str | None) -> None:
    array = pa.array([moment], pa.timestamp("us")).cast(pa.int64()).cast(pa.timestamp("us", zone))
    assert own_values.values(array) == [array[0].as_py().isoformat()]
    day: date = moment.date()
    clock: time = moment.time()
    span: timedelta = moment - MIDDLE
    for value, kind in ((day, pa.date32()), (day, pa.date64()), (clock, pa.time64("us"))):
        assert own_values.values(pa.array([value], kind)) == [value.isoformat()]
    assert own_values.values(pa.array([span], pa.duration("us"))) == [str(span)]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (10_000_000, pa.date32(), "+29349-01-26"),
        (-719_529, pa.date32(), "-0001-12-31"),
        (-719_528, pa.date32(), "0000-01-01"),
        (1, pa.timestamp("ns"), "1970-01-01T00:00:00.000000001"),
        (1000, pa.timestamp("ns"), "1970-01-01T00:00:00.000001"),
        (0, pa.timestamp("s", "Nowhere/City"), "1970-01-01T00:00:00+00:00"),
        (253402300800, pa.timestamp("s", "+01:00"), "+10000-01-01T01:00:00+01:00"),
        (86_399_000_000_001, pa.time64("ns"), "23:59:59.000000001"),
        (-5, pa.duration("ns"), "-1 day, 23:59:59.999999995"),
        (2**62, pa.duration("s"), "53375995583650 days, 7:45:04"),
    ],
    ids=str,
)
def test_times_that_python_cannot_hold(value: int, kind: pa.DataType, text: str) -> None:
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    assert own_values.values(pa.array([value], width).view(kind)) == [text]
