"""Columns of JSON objects: any values have a type that holds them, over files that differ too."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import own_columns

Objects = list[dict[str, Any] | None]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)
FIELDS = st.dictionaries(st.sampled_from(["a", "b"]), VALUES)
OBJECTS = st.lists(st.none() | FIELDS, min_size=1, max_size=4)


@given(OBJECTS, OBJECTS)
def test_any_objects_of_two_files_are_columns_of_one_type(one: Objects, other: Objects) -> None:
    tables = [own_columns.of_objects(objects) for objects in (one, other)]
    schema = own_columns.union(table.schema for table in tables)
    for objects, table in zip((one, other), tables, strict=True):
        fitted = own_columns.fitted(table, schema)
        assert fitted.num_rows == len(objects)
        if fitted.column_names:
            out = io.BytesIO()
            pq.write_table(fitted, out)
            assert pq.read_table(out).schema.names == schema.names
        for objects_row in own_columns.objects(fitted):
            json.loads(own_columns.dumped(objects_row))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5))
def test_objects_of_the_same_keys_are_the_columns_that_look_ups_give(
    values: list[tuple[Any, Any]],
) -> None:
    """Keys in another order in one of them lead to a look-up of each."""
    objects = [{"b": one, "a": other} for one, other in values]
    turned = [*objects, dict(reversed(objects[0].items()))]
    assert (
        own_columns.of_objects(turned)
        .slice(0, len(objects))
        .equals(own_columns.of_objects(objects))
    )
    assert own_columns.of_objects(objects).column_names == ["b", "a"]
    assert own_columns.of_objects(objects, {"a"}).column_names == ["a"]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_whole_numbers_stay_whole(values: list[int | None]) -> None:
    table = own_columns.of_objects([{"a": value} for value in values])
    assert table["a"].to_pylist() == values


@given(
    st.lists(st.none() | VALUES, max_size=6) | st.lists(st.none() | st.lists(SCALARS), max_size=6)
)
def test_columns_of_one_kind_are_made_at_once_as_value_by_value(values: list[Any]) -> None:
    made, judge = own_columns._column(values), own_columns._column_of_any(values)
    assert made.type == judge.type
    assert made.equals(judge)


@pytest.mark.parametrize(
    "values",
    [["a", "\ud800"], [1, 2**63], [[1], [-(2**70)]], [["x"], ["\udfff", None]], [[], None], [[[]]]],
    ids=repr,
)
def test_what_no_column_of_its_kind_holds_is_made_value_by_value(values: list[Any]) -> None:
    assert own_columns._column(values).equals(own_columns._column_of_any(values))


def test_types_that_exclude_each_other_become_text() -> None:
    assert own_columns.merged(pa.int64(), pa.float64()) == pa.float64()
    assert own_columns.merged(pa.list_(pa.null()), pa.list_(pa.int64())) == pa.list_(pa.int64())
    assert own_columns.merged(pa.int64(), pa.string()) == pa.string()
    table = own_columns.of_objects([{"a": 1}, {"a": "x"}, {"a": [1]}, {"a": {}}])
    assert table["a"].to_pylist() == ["1", "x", "[1]", "{}"]


FRACTIONS = st.none() | st.floats() | st.text() | st.booleans()


@given(st.lists(FRACTIONS, max_size=5), st.integers(0, 5))
def test_text_is_the_same_however_parts_are_cut(values: list[Any], cut: int) -> None:
    """Fractions, truths and text; a whole number beside fractions of its part is one of them."""
    objects: Objects = [{"a": value} for value in values]
    parts = [own_columns.of_objects(some) for some in (objects[:cut], objects[cut:], [{"a": ""}])]
    schema = own_columns.union([pa.schema([("a", pa.string())]), *(one.schema for one in parts)])
    found = [v for part in parts for v in own_columns.fitted(part, schema)["a"].to_pylist()]
    assert found == [None if _is_missing(v) else _written(v) for v in [*values, ""]]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def test_what_json_has_no_form_for_is_null_in_text_and_stays_in_numbers() -> None:
    texts = [json.loads(text) for text in ("NaN", "1e999", "-Infinity", "0.5")]
    numbers = own_columns.of_objects([{"a": value} for value in texts])
    assert numbers["a"].type == pa.float64()
    assert numbers["a"].to_pylist()[1:] == [math.inf, -math.inf, 0.5]
    assert own_columns.objects(numbers)[:3] == [{"a": None}] * 3
    schema = pa.schema([("a", pa.string())])
    assert own_columns.fitted(numbers, schema)["a"].to_pylist() == [None, None, None, "0.5"]
    mixed = own_columns.of_objects([{"a": value} for value in (*texts, "x", [math.nan])])
    assert mixed["a"].to_pylist() == [None, None, None, "0.5", "x", "[null]"]
    single = pa.table({"a": pa.array([math.nan, math.inf, 0.1], pa.float32())})
    assert own_columns.fitted(single, schema)["a"].to_pylist() == [None, None, "0.1"]
