"""Columns of JSON objects: any values have a type that holds them, over files that differ too."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import own_columns, own_types

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
    schema = own_types.union(table.schema for table in tables)
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
    assert own_types.merged(pa.int64(), pa.float64()) == pa.float64()
    assert own_types.merged(pa.list_(pa.null()), pa.list_(pa.int64())) == pa.list_(pa.int64())
    assert own_types.merged(pa.int64(), pa.string()) == pa.string()
    table = own_columns.of_objects([{"a": 1}, {"a": "x"}, {"a": [1]}, {"a": {}}])
    assert table["a"].to_pylist() == ["1", "x", "[1]", "{}"]
