"""JSON values of mixed types over parts and files: in a column of text each is the JSON that it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import json_rows, own_columns, own_types
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text('a5é"\\ [{', max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def says(got: Any, value: Any, kind: pa.DataType) -> bool:
    """Whether a value of the result says what the input has, to its last digit."""
    if value is None or pa.types.is_null(kind):
        return got is None or value is None
    if pa.types.is_string(kind):
        return bool(got == value) if isinstance(value, str) else bool(json.loads(got) == value)
    if pa.types.is_list(kind):
        inner = zip(got, value, strict=True)
        return isinstance(value, list) and all(says(g, v, kind.value_type) for g, v in inner)
    if pa.types.is_struct(kind):
        return isinstance(value, dict) and all(
            says(got[field.name], value.get(field.name), field.type) for field in kind
        )
    return bool(got == value)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_each_value_is_said_whatever_the_others_are(parts: list[list[Any]]) -> None:
    rows = [pa.table({"meta": [json.dumps({"v": value}) for value in part]}) for part in parts]
    owns = [json_rows.own(part) for part in rows]
    schema = own_types.union(own_columns.schema_of(own) for own in owns)
    for part, own, values in zip(rows, owns, parts, strict=True):
        told = own_columns.fitted(json_rows.retold(own, part, schema), schema)["v"]
        assert all(
            says(got, value, told.type)
            for got, value in zip(told.to_pylist(), values, strict=True)
        )  # fmt: skip


MIXED: list[Any] = [[2], [4, True], {"a": 10**25}, "x", [[0, "t"], 1], {"c": {}}, None]


@pytest.mark.parametrize("form", ["jsonl", "tar"])
@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_column_of_text_has_the_json_of_lists_and_objects(
    tmp_path: Path, form: str, size: int
) -> None:
    rows = [{"text": f"caption {n}", "n": n, "v": value} for n, value in enumerate(MIXED)]
    if form == "jsonl":
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        write_tar(
            tmp_path / "a.tar",
            [Sample(f"{n}", picture(n), str(row["text"]), row) for n, row in enumerate(rows)],
        )
    plan = make_plan(tmp_path / "run", tmp_path / f"a.{form}", "- write", part_samples=size)
    run_here(plan)
    (path,) = (tmp_path / "run/shards").glob("*.parquet")
    found = {row["n"]: row["v"] for row in pq.read_table(path).to_pylist()}
    assert [found[n] for n in range(len(MIXED))] == [
        value if value is None or isinstance(value, str) else json.dumps(value) for value in MIXED
    ]
