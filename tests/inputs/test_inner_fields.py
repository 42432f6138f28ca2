"""Fields inside lists and structs: those of Arrow's columns are those of the same values as JSON."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.inner_fields import field_of
from tamis.pipeline.inputs.parquet import inner

TURN = pa.struct([("from", pa.string()), ("tags", pa.list_(pa.string()))])
KIND = pa.struct([("turns", pa.list_(TURN)), ("two", pa.list_(pa.int32(), 2))])
WAYS = (
    "turns",
    "turns.0",
    "turns.1.from",
    "turns.from",
    "turns.tags",
    "turns.tags.0",
    "two.1",
    "two.7",
)

WORDS = st.none() | st.text(max_size=3)
TURNS = st.none() | st.fixed_dictionaries(
    {"from": WORDS, "tags": st.none() | st.lists(WORDS, max_size=2)}
)
ROWS = st.none() | st.fixed_dictionaries(
    {
        "turns": st.none() | st.lists(TURNS, max_size=3),
        "two": st.none() | st.lists(st.none() | st.integers(0, 9), min_size=2, max_size=2),
    }
)


@given(st.lists(ROWS, max_size=6), st.sampled_from(WAYS), st.integers(0, 3))
def test_a_way_leads_to_the_same_values(rows: list[Any], way: str, skipped: int) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(rows, KIND)], ["x"]).slice(skipped)
    name = f"x.{way}"
    found = inner.field_of(batch, name)
    assert found.to_pylist() == [field_of({"x": row}, name) for row in rows[skipped:]]
    kind = inner.inner_type(batch.schema, name)
    assert kind is not None
    assert found.type == kind or found.type == pa.large_list(kind.value_type)


@pytest.mark.parametrize("name", ["x.0", "x.turns.nothing", "x.two.from", "y", "y.0"])
def test_what_is_not_there_has_no_type(name: str) -> None:
    assert inner.inner_type(pa.schema([("x", KIND)]), name) is None


@pytest.mark.parametrize(
    ("name", "stored"),
    [("x", "x"), ("x.turns.0.from", "x.turns"), ("x.turns.tags", "x.turns"), ("a.b", "a.b")],
)
def test_a_list_is_decoded_whole(name: str, stored: str) -> None:
    schema = pa.schema([("x", KIND), ("a", pa.struct([("b", pa.string())]))])
    assert inner.stored_way(schema, name) == tuple(stored.split("."))
