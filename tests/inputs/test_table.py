"""Tables in text: JSON lines and CSV, with paths of pictures or without."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import format_of, outline
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.table.records import lines
from tamis.schemas.errors import InputError
from tamis.schemas.job import Input
from tests.support.running import make_plan, picture, run_here


def rows_of(path: Path, **entry: Any) -> list[dict[str, Any]]:
    (file,) = input_files(Input(path=(str(path),), **entry))
    outline(file).accepted()
    return [row for table in ingest_file(file, IngestOptions()) for row in table.to_pylist()]


# Records and their places.


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=8))
def test_lines_are_what_splitting_gives(pieces: list[bytes]) -> None:
    data = b"\n".join(pieces)
    found = list(lines(io.BytesIO(data), 15))
    expected = [line + b"\n" for line in data.split(b"\n")[:-1]] + [data.split(b"\n")[-1]]
    expected = [line for line in expected if line]
    assert [record.size for record in found] == [len(line) for line in expected]
    starts = [sum(map(len, expected[:i])) for i in range(len(expected))]
    assert [record.offset for record in found] == starts
    kept = [line if len(line) <= 15 else None for line in expected]
    assert [record.data for record in found] == kept


def test_a_line_that_never_ends_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "one"}\n' + b"x" * (9 << 20) + b'\n{"text": "two"}\n')
    found = rows_of(path)
    assert [(row["text"], row["reason"]) for row in found] == [
        ("one", None),
        (None, "unreadable_row"),
        ("two", None),
    ]


# Without pictures.


def test_a_table_without_pictures_is_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "\ufeffURL;TEXT;WIDTH;HEIGHT;stars;id\n"
        "http://example.org/1;a caption, with a comma;640;480;0.5;007\n"
        "http://example.org/2;;;480;;8\n"
        "too;few\n"
    )
    found = rows_of(path)
    assert [(row["text"], row["width"], row["height"], row["key"]) for row in found] == [
        ("a caption, with a comma", 640, 480, "007"),
        (None, None, 480, "8"),
        (None, None, None, found[2]["key"]),
    ]
    assert [row["reason"] for row in found] == [None, "missing_caption", "unreadable_row"]
    assert found[2]["message"] == "it has 2 cells, the header names 6"
    assert found[0]["url"] == "http://example.org/1"


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl"])
def test_every_column_comes_out_typed(tmp_path: Path, name: str) -> None:
    rows = [
        {
            "caption": f"caption {i}",
            "url": f"http://e/{i}",
            "stars": i / 2,
            "number": i,
            "id": f"0{i}",
        }
        for i in range(5)
    ]
    path = tmp_path / name
    if name == "x.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "\t" if name == "x.tsv" else ","
        body = [mark.join(map(str, row.values())) for row in rows]
        path.write_text("\n".join([mark.join(rows[0]), *body]))
    steps = "  - signals: [words, stars]\n  - rules: {stars: {min: 1}}\n  - write"
    run_here(make_plan(tmp_path / "run", path, steps, part_samples=2))
    found = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert found["number"].to_pylist() == [2, 3, 4]
    assert str(found["number"].type) == "int64"
    assert found["id"].to_pylist() == ["02", "03", "04"]
    assert found["stars"].to_pylist() == [1.0, 1.5, 2.0]


def test_a_table_without_captions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has no column for `text`; it has a, b: name it: "):
        rows_of(path)
    assert rows_of(path, columns={"text": "b"})[0]["text"] == "2"
    with pytest.raises(InputError, match="has no column c; it has a, b"):
        rows_of(path, columns={"text": "c"})


# With pictures.


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Hugging Face's image folder: pictures below it, and a list of them."""
    (tmp_path / "in/train").mkdir(parents=True)
    for i in range(4):
        (tmp_path / f"in/train/{i}.png").write_bytes(picture(i))
    (tmp_path / "secret.png").write_bytes(picture(9))
    rows = [
        {"file_name": "train/0.png", "text": ["zero", "nought"], "stars": 3},
        {"file_name": "./train/../train/1.png", "text": "one"},
        {"file_name": "train/9.png", "text": "gone"},
        {"file_name": "../secret.png", "text": "outside"},
        {"file_name": "train/../../secret.png", "text": "outside"},
        {"file_name": str(tmp_path / "secret.png"), "text": "outside"},
        {"file_name": "http://example.org/1.png", "text": "an address"},
        {"file_name": str(tmp_path / "in/train/2.png"), "text": "whole path"},
        {"file_name": "train", "text": "a folder"},
        {"text": "none"},
    ]
    (tmp_path / "in/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "in"


def test_rows_name_pictures_below_the_tables_folder_alone(photos: Path) -> None:
    found = rows_of(photos, captions="first")
    assert [(row["text"], row["reason"]) for row in found if not row["reason"]] == [
        ("zero", None),
        ("one", None),
        ("whole path", None),
    ]
    messages = {row["text"]: row["message"] for row in found if row["reason"] == "missing_image"}
    assert "no such file below" in messages["gone"]
    assert "outside the table's folder" in messages["outside"]
    assert "img2dataset" in messages["an address"]
    assert "no such file" in messages["a folder"]
    assert messages["none"] == "no path of a picture"
    assert sum(row["text"] == "outside" for row in found) == 3


def test_a_sample_for_each_caption(photos: Path) -> None:
    found = rows_of(photos, captions="each")
    assert [row["text"] for row in found[:3]] == ["zero", "nought", "one"]
    assert [row["file_row"] for row in found[:3]] == [0, 0, 1]
    assert found[0]["uid"] != found[1]["uid"]


def test_pictures_of_a_list_are_in_the_result(photos: Path, tmp_path: Path) -> None:
    entry = {"path": str(photos), "captions": "first"}
    made = make_plan(tmp_path / "run", "", "  - write: {format: parquet}", input=[entry])
    run_here(made)
    found = pq.read_table(tmp_path / "run/shards/00000.parquet")
    images = [image["bytes"] for image in found["image"].to_pylist()]
    assert images == [picture(0), picture(1), picture(2)]
    assert found["caption"].to_pylist() == ["zero", "one", "whole path"]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(("before", "known"), [(99, True), (4_000, True), (40_000, False)])
def test_a_key_that_comes_late_is_known_within_the_first_megabyte(
    before: int, known: bool, listed: bool, tmp_path: Path
) -> None:
    rows = [{"text": "a caption of ten words or so", "n": n} for n in range(before)]
    rows.append({"text": "the last", "n": 0, "late": 1.5})
    told = [json.dumps(row) for row in rows]
    path = tmp_path / ("a.json" if listed else "a.jsonl")
    path.write_text(f"[{','.join(told)}]" if listed else "\n".join(told))
    (file,) = input_files(Input(path=(str(path),)))
    assert ("late" in format_of(file).columns(file)) == known
