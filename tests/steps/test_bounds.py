"""What passes a bound is the same of a column, of one value, and in SQL."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tamis.pipeline.steps.rules.bounds import failure, failures, passing_sql
from tamis.pipeline.steps.rules.config import Bound
from tamis.pipeline.tables.columns import row_values

NUMBERS = st.none() | st.integers(-5, 5).map(float) | st.floats(width=32) | st.just(float("nan"))
LIMITS = st.none() | st.integers(-5, 5).map(float) | st.floats(-5, 5)
MISSING = st.sampled_from(["drop", "keep"])
CHOICES = st.sampled_from(["en", "de", "1", "true", 1, 2.0, 2.5, True, False])
KINDS = st.sampled_from([pa.float32(), pa.float64(), pa.int32(), pa.uint8(), pa.bool_()])


def between(low: float | None, high: float | None, missing: str) -> Bound:
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    elif low is None:
        high = 0.0 if high is None else high
    return Bound.model_validate({"min": low, "max": high, "missing": missing})


def column(values: list[float | None], kind: pa.DataType) -> pa.Array:
    """The values as a signal of that type; what is no whole number has no value where they are."""
    if not pa.types.is_floating(kind):
        least = int(pa.types.is_signed_integer(kind)) * -5
        values = [v if v is not None and least <= v <= 5 and v == int(v) else None for v in values]
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else value > 0 for value in values], kind)
    return pa.array(values, kind)


def agrees(values: pa.Array, bound: Bound) -> list[bool]:
    """Which pass, by the column; each value alone says so, and why."""
    failed = failures(values, bound)
    table = pa.table({"value": values})
    for i in range(len(values)):
        value = row_values(table, i)["value"]
        why = failure(value, bound)
        assert ([] if why is None else [why]) == [name for name, at in failed.items() if at[i]]
    return [not any(mask[i] for mask in failed.values()) for i in range(len(values))]


@given(st.lists(NUMBERS), LIMITS, LIMITS, MISSING, KINDS)
@example([1.0, None, float("inf")], 1e39, None, "drop", pa.float32())  # beyond 32 bits
@example([1.0, None, float("inf")], None, 1e39, "keep", pa.float32())
@example([1.0, None, float("-inf")], -1e39, 1e300, "drop", pa.float32())
def test_numbers(
    values: list[float | None],
    low: float | None,
    high: float | None,
    missing: str,
    kind: pa.DataType,
) -> None:
    bound = between(low, high, missing)
    stored = column(values, kind)
    condition, limits = passing_sql('"a b"', bound)
    signals = pa.table({"a b": stored})
    with duckdb.connect() as connection:
        connection.register("signals", signals)
        found = connection.execute(f"SELECT {condition} FROM signals", limits).fetchall()
    assert [passes for (passes,) in found] == agrees(stored, bound)


@given(
    st.lists(st.none() | st.sampled_from(["en", "de", "fr", "1", "nan"]))
    | st.lists(st.none() | st.booleans())
    | st.lists(st.none() | st.sampled_from([1.0, 2.0, 2.5, float("nan"), float("inf")])),
    st.lists(CHOICES, min_size=1, max_size=4),
    MISSING,
)
def test_lists(values: list[Any], choices: list[object], missing: str) -> None:
    agrees(pa.array(values), Bound.model_validate({"in": choices, "missing": missing}))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("side", ["min", "max"])
def test_a_number_equal_on_paper_meets_its_bound(kind: pa.DataType, side: str) -> None:
    """0.26 as a float32 is 0.25999999, and 0.3 is 0.30000001."""
    for number in (0.26, 0.3):
        stored = pa.array([number], pa.float64()).cast(kind, safe=False)
        if kind != pa.float16():
            assert agrees(stored, Bound.model_validate({side: number})) == [True]
    wide = pa.array([float(np.float32(0.26))])
    assert agrees(wide, Bound(min=0.26)) == [False]


def test_text_is_no_number() -> None:
    bound = Bound(min=1.0)
    condition, limits = passing_sql("value", bound)
    with pytest.raises(pa.ArrowInvalid):
        failures(pa.array(["one"]), bound)
    with duckdb.connect() as connection, pytest.raises(duckdb.ConversionException):
        connection.execute(f"SELECT {condition} FROM (SELECT 'one' AS value)", limits).fetchall()
