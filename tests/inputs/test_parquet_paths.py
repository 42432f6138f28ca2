"""Pictures that a parquet file names by their paths: read below its own folder alone, as those of JSON lines."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.schemas.errors import InputError
from tamis.schemas.job import Captions, Input
from tests.support.input_files import Row
from tests.support.running import ledger, make_plan, picture, run_here

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a table, with four pictures below it; one picture lies outside."""
    (tmp_path / "in/train").mkdir(parents=True)
    for i in range(4):
        (tmp_path / f"in/train/{i}.png").write_bytes(picture(i))
    (tmp_path / "in/train/a {b} [1]*?.png").write_bytes(picture(8))
    (tmp_path / "secret.png").write_bytes(picture(9))
    return tmp_path / "in"


def write(folder: Path, images: pa.Array, texts: Sequence[Any], name: str = "image") -> None:
    table = pa.table({name: images, "text": texts, "stars": range(len(texts))})
    pq.write_table(table, folder / "x.parquet", row_group_size=3)


def rows_of(folder: Path, captions: Captions = "one", **columns: str) -> list[Row]:
    named: Any = {name: (column,) for name, column in columns.items()}
    files = input_files(Input(path=(f"{folder}/*.parquet",), columns=named, captions=captions))
    return [
        row
        for file in files
        for table in ingest_file(file, IngestOptions())
        for row in table.to_pylist()
    ]


def paths(folder: Path) -> dict[str, str | None]:
    """Paths as tables have them -> a piece of what is said of the row; None where the picture is read."""
    return {
        "train/0.png": None,
        "./train/../train/1.png": None,
        str(folder / "train/2.png"): None,
        "train/a {b} [1]*?.png": None,
        "train/9.png": "there is no such file below the table's folder",
        "train": "there is no such file",
        "../secret.png": "lies outside the table's folder",
        "train/../../secret.png": "lies outside the table's folder",
        str(folder.parent / "secret.png"): "lies outside the table's folder",
        "https://example.org/1.png": "an address, and nothing is fetched",
        "train/\0.png": "there is no such file",
        f"train/{'x' * 5000}.png": "there is no such file",
        " ": "no path of a picture",
    }


@pytest.mark.parametrize("kind", ["a column", "a struct", "a dictionary", "a struct of paths"])
def test_paths_below_the_tables_folder_are_read_and_no_others(folder: Path, kind: str) -> None:
    expected = paths(folder)
    column = pa.array(expected)
    if kind == "a dictionary":
        column = column.dictionary_encode()
    if kind == "a struct":
        column = pa.array([{"bytes": None, "path": path} for path in expected], STRUCT)
    if kind == "a struct of paths":
        column = pa.array([{"path": path} for path in expected])
    write(folder, column, [f"caption {i}" for i in range(len(expected))])
    for row, piece in zip(rows_of(folder), expected.values(), strict=True):
        if piece is None:
            assert (row["reason"], row["width"]) == (None, 8)
        else:
            assert row["reason"] == "missing_image"
            assert piece in row["message"]


def test_bytes_count_before_a_path(folder: Path) -> None:
    images = [{"bytes": picture(5), "path": "train/0.png"}, {"bytes": None, "path": "train/1.png"}]
    write(folder, pa.array(images, STRUCT), ["one", "two"])
    assert [row["sha256"] for row in rows_of(folder)] == [digest(picture(5)), digest(picture(1))]


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_a_column_of_another_name_is_taken_where_the_job_says_so(folder: Path) -> None:
    write(folder, pa.array([f"train/{i}.png" for i in range(4)]), ["a"] * 4, "where")
    assert {row["width"] for row in rows_of(folder)} == {None}
    assert {row["width"] for row in rows_of(folder, image="where")} == {8}


def test_a_column_that_the_job_names_for_another_is_no_picture(folder: Path) -> None:
    write(folder, pa.array([f"https://example.org/{i}.png" for i in range(4)]), ["a"] * 4)
    found = rows_of(folder, url="image")
    assert [row["reason"] for row in found] == [None] * 4
    assert found[0]["url"] == "https://example.org/0.png"


@pytest.mark.parametrize("images", [[1, 2], [{"size": 1}, {"size": 2}], [["a"], ["b"]]])
def test_what_is_neither_is_refused(folder: Path, images: list[Any]) -> None:
    write(folder, pa.array(images), ["a", "b"])
    found = rows_of(folder)
    assert [row["reason"] for row in found] == ["unreadable_row"] * 2
    assert "but pictures are bytes, {bytes, path}, or paths" in found[0]["message"]
    with pytest.raises(InputError, match=r"but pictures are bytes, \{bytes, path\}, or paths"):
        make_plan(folder / "run", f"{folder}/*.parquet", "  - write")


def test_each_of_several_captions_has_its_picture(folder: Path) -> None:
    images = pa.array([f"train/{i}.png" for i in range(4)])
    write(folder, images, [[f"one {i}", f"two {i}"] for i in range(4)])
    found = rows_of(folder, "each")
    assert [row["sha256"] for row in found] == [digest(picture(i // 2)) for i in range(8)]


@pytest.mark.parametrize("name", ["image", "where"])
def test_a_run_writes_the_pictures_and_keeps_the_paths(
    folder: Path, tmp_path: Path, name: str
) -> None:
    listed = [f"train/{i}.png" for i in (2, 0, 3, 1)]
    write(folder, pa.array(listed), [f"caption {i}" for i in range(4)], name)
    entry = {"path": f"{folder}/*.parquet", "columns": {"image": name}}
    made = make_plan(tmp_path / "run", "", "  - write", input=[entry])
    run_here(made)
    with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    assert [data for key, data in members.items() if key.endswith("png")] == [
        picture(i) for i in (2, 0, 3, 1)
    ]
    assert json.loads(members["000000000.json"]) == {name: listed[0], "text": "caption 0"} | {
        "stars": 0
    }
    table = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert table[name].to_pylist() == listed
    run_here(make_plan(tmp_path / "two", "", "  - write: {format: parquet}", input=[entry]))
    table = pq.read_table(tmp_path / "two/shards/00000.parquet")
    assert table[name].to_pylist() == listed
    pictures = table["image" if name == "where" else "tamis_image"].to_pylist()
    assert [one["bytes"] for one in pictures] == [picture(i) for i in (2, 0, 3, 1)]


def test_a_picture_that_changes_below_the_table_is_told(folder: Path, tmp_path: Path) -> None:
    write(folder, pa.array([f"train/{i}.png" for i in range(4)]), ["a b"] * 4)
    made = make_plan(tmp_path / "run", f"{folder}/*.parquet", "  - signals: [words]\n  - write")
    run_here(made)
    assert [row["kept"] for row in ledger(tmp_path / "run")] == [True] * 4
    (folder / "train/1.png").write_bytes(picture(7))
    made = make_plan(tmp_path / "run", f"{folder}/*.parquet", "  - signals: [entropy]\n  - write")
    with pytest.raises(InputError, match="has changed since it was ingested"):
        run_here(made)
    (folder / "train/1.png").unlink()
    with pytest.raises(InputError, match="or one that is gone: run again with --accept-changed"):
        run_here(made)
