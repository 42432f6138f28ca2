"""The input's own columns: what a look finds without reading much, and what values become."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.columns import NUMBER, SINGLE, TEXT, TRUTH
from tamis.pipeline.inputs.parquet import columns as parquet
from tamis.pipeline.inputs.tar.format import LOOK_BYTES, TAR
from tamis.schemas.errors import InputError
from tests.support.input_files import source
from tests.support.running import Sample, picture, write_tar

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


def test_a_tars_columns_are_the_keys_of_its_first_samples(tmp_path: Path) -> None:
    fields: list[dict[str, Any]] = [
        {"a": None, "b": True, "c": [1]},
        {"a": 1, "b": None, "d": "x", "e": None},
        {"a": "not looked at: the first value counts"},
    ]
    tar = write_tar(
        tmp_path / "a.tar", [Sample(f"{i}", picture(i), "t", f) for i, f in enumerate(fields)]
    )
    found = TAR.columns(source(tar))
    assert found == {"a": NUMBER, "b": TRUTH, "c": None, "d": TEXT, "e": pa.null()}


@pytest.mark.parametrize("bytes_before", [300 << 10, 5 << 20])
def test_the_look_ends_after_a_few_megabytes(bytes_before: int, tmp_path: Path) -> None:
    samples = [Sample("0", bytes(bytes_before), "t", {"a": 1})]
    found = TAR.columns(source(write_tar(tmp_path / "a.tar", samples)))
    assert found == ({"a": NUMBER} if bytes_before < LOOK_BYTES[-1] else {})


def test_types_of_a_parquet_file(tmp_path: Path) -> None:
    values = {
        "i": (pa.array([1], pa.uint8()), NUMBER),
        "h": (pa.array([np.float16(1)]), SINGLE),
        "f": (pa.array([0.26], pa.float32()), SINGLE),
        "m": (pa.array([Decimal("1.5")]), NUMBER),
        "s": (pa.array(["x"], pa.large_string()), TEXT),
        "d": (pa.array(["x"]).dictionary_encode(), TEXT),
        "b": (pa.array([True]), TRUTH),
        "n": (pa.nulls(1), pa.null()),
        "l": (pa.array([[1]]), None),
        "r": (pa.array([{"x": [1]}]), None),
        "y": (pa.array([b"x"]), None),
    }
    pq.write_table(pa.table({k: v for k, (v, _) in values.items()}), tmp_path / "a.parquet")
    found = parquet.look(str(tmp_path / "a.parquet"))
    assert found == {name: kind for name, (_, kind) in values.items()} | {"r.x": None}
    usable = {name: kind for name, kind in found.items() if kind not in (None, pa.null())}
    zero = np.zeros(1, np.int64)
    read = parquet.read(str(tmp_path / "a.parquet"), zero, zero, usable)
    assert {name: array.to_pylist() for name, array in read.items()} == {
        "i": [1.0],
        "h": [1.0],
        "f": [float(np.float32(0.26))],
        "m": [1.5],
        "s": ["x"],
        "d": ["x"],
        "b": [True],
    }


@given(st.lists(st.none() | st.dictionaries(st.sampled_from("abc"), VALUES), max_size=8))
def test_json_values_of_the_wanted_type_are_kept_and_others_are_null(
    objects: list[dict[str, Any] | None],
) -> None:
    texts = [None if fields is None else json.dumps(fields) for fields in objects]
    found = columns.from_json(texts, {"a": NUMBER, "b": TEXT, "c": TRUTH})
    kinds: dict[str, tuple[type, ...]] = {"a": (int, float), "b": (str,), "c": (bool,)}
    for name, types in kinds.items():
        expected = [
            value if type(value := (fields or {}).get(name)) in types else None
            for fields in objects
        ]
        if name == "a":  # an integer above 2^53 loses its last digits, as any double does
            expected = [None if value is None else float(value) for value in expected]
        assert found[name].equals(pa.array(expected, found[name].type))


OBJECTS = st.recursive(
    st.integers(0, 9) | st.none(),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c", "a.b"]), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "a.b", "c.a"]), OBJECTS, max_size=4))
def test_every_field_inside_an_object_has_the_name_of_the_way_to_it(fields: dict[str, Any]) -> None:
    """By brute force: every way through keys without dots, unless a key is called as the way is."""
    ways: dict[str, Any] = {}

    def walk(value: Any, way: list[str]) -> None:
        if way:
            ways[".".join(way)] = value
        if isinstance(value, dict):
            for key, inner in value.items():
                if "." not in key:
                    walk(inner, [*way, key])

    walk(fields, [])
    ways |= fields
    found = columns.of_json([fields])
    assert set(found) == set(ways)
    numbers = {name: value for name, value in ways.items() if isinstance(value, int)}
    assert {name for name, kind in found.items() if kind == NUMBER} == set(numbers)
    read = columns.from_json([json.dumps(fields), None], dict.fromkeys(numbers, NUMBER))
    assert {name: array.to_pylist() for name, array in read.items()} == {
        name: [float(value), None] for name, value in numbers.items()
    }
    assert set(columns.whole(found)) == {
        name for name in fields if "." not in name or not isinstance(fields.get(name[0]), dict)
    }


def test_fields_of_structs_are_read_without_the_rest_of_them(tmp_path: Path) -> None:
    inner = [{"z": 1, "w": "x"}, None, {"z": None, "w": "y"}]
    rows = [{"x": float(n), "y": value} for n, value in enumerate(inner)]
    given = pa.table({"r": [rows[0], None, *rows[1:]], "r.x": ["own"] * 4, "s": [1, 2, 3, 4]})
    pq.write_table(given, tmp_path / "a.parquet", row_group_size=2)
    path = str(tmp_path / "a.parquet")
    known = {"r": None, "r.x": TEXT, "s": NUMBER, "r.y": None, "r.y.z": NUMBER, "r.y.w": TEXT}
    assert parquet.look(path) == known
    wanted = {"r.x": TEXT, "r.y.z": NUMBER, "r.y.w": TEXT, "r.y.v": TEXT, "r.y": NUMBER}
    at = np.arange(4)
    read = parquet.read(path, at // 2, at % 2, wanted)
    assert {name: array.to_pylist() for name, array in read.items()} == {
        "r.x": ["own"] * 4,
        "r.y.z": [1.0, None, None, None],
        "r.y.w": ["x", None, None, "y"],
        "r.y.v": [None] * 4,
        "r.y": [None] * 4,
    }


@given(
    wanted=st.sets(st.integers(0, 99), max_size=30),
    group_rows=st.integers(1, 40),
)
def test_rows_of_a_parquet_file_wherever_they_lie(
    wanted: set[int], group_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"rows-{group_rows}.parquet"
    if not path.exists():
        pq.write_table(pa.table({"x": range(100)}), path, row_group_size=group_rows)
    rows = np.array(sorted(wanted), np.int64)
    found = parquet.read(str(path), rows // group_rows, rows % group_rows, {"x": NUMBER})
    assert found["x"].to_pylist() == [float(row) for row in rows]


def test_a_row_that_is_gone_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": range(10)}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 10 of row group 0 is gone"):
        parquet.read(
            str(tmp_path / "a.parquet"), np.zeros(2, int), np.array([9, 10]), {"x": NUMBER}
        )
