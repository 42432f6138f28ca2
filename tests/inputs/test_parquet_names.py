"""A name stands for one column of a parquet file, whatever others are called."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.formats import MEMBER_COLUMNS, VALUE_COLUMNS, format_of, outline
from tamis.pipeline.inputs.input_files import Reading
from tamis.pipeline.inputs.parquet.file import InputParquet
from tamis.pipeline.inputs.parquet.inner import Way, field_of
from tamis.pipeline.inputs.parquet.leaves import leaf_count, unique
from tamis.pipeline.results import sidecars
from tamis.schemas.errors import InputError
from tests.support.arrow_values import TYPES, ends
from tests.support.input_files import ingest, ingested, source
from tests.support.pictures import encode, noise

PICTURES = [encode(noise(seed=seed), "JPEG") for seed in range(3)]
STRUCTS = [{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(PICTURES)]
TEXTS = ["one thing", "two things", "three things"]

DECOYS: dict[str, list[Any]] = {
    "bytes": [b"no picture"] * 3,
    "number": [7, 8, 9],
    "text": ["a", "b", "c"],
    "list": [[1], [2], [3]],
    "struct": [{"bytes": b"no"}] * 3,
    "null": [None] * 3,
}


def written(folder: Path, columns: dict[str, Any] | list[tuple[str, Any]]) -> Path:
    pairs = list(columns.items()) if isinstance(columns, dict) else columns
    table = pa.Table.from_arrays([pa.array(v) for _, v in pairs], names=[n for n, _ in pairs])
    pq.write_table(table, folder / "x.parquet", row_group_size=2)
    return folder / "x.parquet"


def read(path: Path, **columns: str) -> list[pa.Table]:
    """The file, by the job's own names of some columns."""
    reading = Reading(tuple((name, (own,)) for name, own in columns.items()))
    return ingested(replace(source(path), reading=reading))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", ["image.bytes", "image.path", "image.bytes.bytes"])
@pytest.mark.parametrize("decoy", DECOYS)
def test_a_column_called_as_a_field_of_pictures_is_no_picture(
    tmp_path: Path, decoy: str, name: str, first: bool
) -> None:
    pairs = [("image", STRUCTS), (name, DECOYS[decoy])]
    path = written(tmp_path, [*(pairs[::-1] if first else pairs), ("caption", TEXTS)])
    (table,) = ingest(path)
    assert table["reason"].to_pylist() == [None] * 3
    file = source(path)
    form = format_of(file)
    assert list(form.pictures(file, table)) == PICTURES
    members = form.members(file, table.select(MEMBER_COLUMNS))
    assert [dict(sample)["jpg"] for sample in members] == PICTURES
    own = pa.concat_tables(form.own(file, table.select(VALUE_COLUMNS), None))
    assert own[name].to_pylist() == DECOYS[decoy]
    assert own["image"].to_pylist() == [{"path": one["path"]} for one in STRUCTS]
    assert set(form.own_names(file)) == {"image", name, "caption"}


def test_pictures_in_a_struct_whose_name_has_a_dot(tmp_path: Path) -> None:
    path = written(tmp_path, {"my.image": STRUCTS, "my": [{"image": b"no"}] * 3, "caption": TEXTS})
    (table,) = read(path, image="my.image")
    assert table["reason"].to_pylist() == [None] * 3


@pytest.mark.parametrize("what", ["text", "uid", "url", "key"])
def test_a_column_of_the_whole_name_comes_before_a_field(tmp_path: Path, what: str) -> None:
    values = [f"{n:032x}" for n in range(3)]
    other = [{"b": "0" * 32}] * 3
    path = written(tmp_path, {"a": other, "a.b": values, "caption": TEXTS})
    (table,) = read(path, **{what: "a.b"})
    found = table[what].to_pylist()
    assert [one.hex() if what == "uid" else one for one in found] == values
    path = written(tmp_path, {"a": [{"b": value} for value in values], "caption": TEXTS})
    (again,) = read(path, **{what: "a.b"})
    assert again[what].to_pylist() == found


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    pairs = [("caption", TEXTS), ("lic", [1, 2, 3]), ("lic_2", [4, 5, 6])]
    path = written(tmp_path, [*pairs, ("lic", ["a", "b", "c"]), ("LIC", [7, 8, 9])])
    (table,) = ingest(path)
    file = source(path)
    form = format_of(file)
    rows = table.select(VALUE_COLUMNS)
    own = pa.concat_tables(form.own(file, rows, None)).to_pydict()
    assert own == {
        "caption": TEXTS,
        "lic": [1, 2, 3],
        "lic_2": [4, 5, 6],
        "lic_3": ["a", "b", "c"],
        "LIC": [7, 8, 9],
    }
    assert list(form.own_names(file)) == list(form.columns(file)) == list(own)
    wanted = {"lic": pa.float64(), "lic_3": pa.string()}
    values = form.values(file, rows, wanted)
    assert [one.to_pylist() for one in values.values()] == [[1, 2, 3], ["a", "b", "c"]]


def test_a_caption_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """A job of this file alone; among others its samples are dropped for it."""
    path = written(tmp_path, [("caption", TEXTS), ("caption", TEXTS)])
    with pytest.raises(InputError, match="more than one column `caption`"):
        outline(source(path)).accepted()
    messages = [row["message"] for table in ingest(path) for row in table.to_pylist()]
    assert len(messages) == 3
    assert all("more than one column `caption`" in message for message in messages)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "a_2", "b", "a.b"]), TYPES), min_size=1, max_size=5)
)
def test_a_column_and_a_field_are_read_as_out_of_the_whole_table(
    columns: list[tuple[str, pa.DataType]],
) -> None:
    arrays = [ends(kind) for _, kind in columns]
    table = pa.Table.from_arrays(arrays, names=[name for name, _ in columns])
    out = io.BytesIO()
    pq.write_table(table, out)
    file = InputParquet(out)
    schema = file.schema_arrow
    assert sum(leaf_count(field.type) for field in schema) == len(file.schema)
    assert len(set(schema.names)) == len(columns)
    whole = pq.ParquetFile(out).read()
    for place, field in enumerate(schema):
        ways: list[Way] = [(field.name,)]
        if pa.types.is_struct(field.type):
            names = [one.name for one in field.type]
            ways += [(field.name, name) for name in names if names.count(name) == 1]
        expected = whole.column(place).combine_chunks()
        batch = pa.RecordBatch.from_arrays([expected], names=[field.name])
        for way in ways:
            (read,) = file.iter_batches(100, [0], [way])
            assert field_of(read, way).equals(field_of(batch, way))


def test_views_at_any_depth_are_read(tmp_path: Path) -> None:
    """Arrow takes no rows of them, and casts nothing to views of lists."""
    columns = {
        "caption": pa.array(TEXTS),
        "texts": pa.array(["x", "y", None], pa.string_view()),
        "lists": pa.array([["a"], [], None], pa.list_view(pa.string_view())),
        "inner": pa.array([[b"a"], [None], None], pa.large_list(pa.binary_view())),
        "struct": pa.array(
            [{"x": [1]}, {"x": None}, None], pa.struct([("x", pa.list_view(pa.int8()))])
        ),
        "map": pa.array([[("k", "v")], [], None], pa.map_(pa.string(), pa.string_view())),
        "pairs": pa.array([["a", "b"], None, ["c", None]], pa.list_(pa.string_view(), 2)),
    }
    path = written(tmp_path, columns)
    (table,) = ingest(path)
    file = source(path)
    rows = table.select(VALUE_COLUMNS).take(pa.array([0, 2]))
    own = pa.concat_tables(format_of(file).own(file, rows, None))
    assert own.schema == pa.schema(
        [field.remove_metadata() for field in format_of(file).own_schema(file, rows)]
    )
    for name, array in columns.items():
        assert own[name].to_pylist() == [array[0].as_py(), array[2].as_py()], name


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "A", ""]), max_size=8))
def test_each_name_is_once_and_those_that_stood_once_are_as_they_were(names: list[str]) -> None:
    schema = pa.schema([pa.field(name, pa.int8()) for name in names])
    found = unique(schema).names
    assert len(set(found)) == len(names)
    assert all(new == old for new, old in zip(found, names, strict=True) if names.count(old) == 1)
    assert [new for new, old in zip(found, names, strict=True) if new == old] == [
        *dict.fromkeys(names)
    ]


@pytest.mark.parametrize("name", ["key", "url", "width", "height", "sha256", "status", "exif"])
@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us", "Nowhere/City")], ids=str)
def test_dates_that_python_cannot_hold_are_no_fault_of_a_row(
    tmp_path: Path, kind: pa.DataType, name: str
) -> None:
    table = pa.table({"caption": TEXTS, name: ends(kind)})
    pq.write_table(table, tmp_path / "x.parquet")
    (found,) = ingest(tmp_path / "x.parquet")
    assert found["reason"].to_pylist() == [None] * 3
    assert found["key"].to_pylist() == ["0", "1", "2"]
    ours = pa.table({name: pa.array(["a", "b", None])})
    assert sidecars.differing(table, ours) == {name}
