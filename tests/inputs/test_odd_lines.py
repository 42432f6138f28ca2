"""What odd files and job files get: the right row, or one line that is true and says how to mend it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import outline
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.job import Input
from tests.inputs.test_table import rows_of
from tests.support.running import ledger, make_plan, picture, run_here

RETURNS = r"its lines end in \\r alone: write \\n for it first"
MANY = 100_000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "url,text\rhttp://a,one\r", RETURNS),
        ("a.csv", "url,text\r" + "http://a,one two\r" * MANY, RETURNS),
        ("a.tsv", "url\ttext\rhttp://a\tone\r", RETURNS),
        ("a.jsonl", '{"text": "one"}\r{"text": "two"}\r', RETURNS),
        ("a.jsonl", '{"text": "one"}\r' * MANY, RETURNS),
        ("a.csv", "# by me\nurl,text\nhttp://a,one\n", "first line is a remark: remove it"),
        ("a.csv", "text,n,n\na,1,2\n", "more than one column `n`: give one another name"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text, newline="")
    (row,) = rows_of(tmp_path / name)
    assert row["reason"].startswith("unreadable_")
    assert said.replace("\\\\", "\\") in row["message"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "text,n\na,1,\nb,2\n", "it ends in ',': give the header a name for that cell"),
        ("a.csv", "text,n\na,1,z\nb,2\n", "a cell with ',' in it stands in quotes"),
        ("a.jsonl", '{"n": %s}\n{"text": "b"}\n' % ("9" * 5000), "a number of more than 4,300"),
        ("a.json", '[{"n": %s}, {"text": "b"}]' % ("9" * 5000), "write it as text, in quotes"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    bad, good = rows_of(tmp_path / name)
    assert (bad["reason"], good["text"]) == ("unreadable_row", "b")
    assert said in bad["message"]


@pytest.mark.parametrize(
    "text", ['{"text": "one"}\r\n{"text": "two"}\r\n', '[{"text": "one"},\r{"text": "two"}]\r']
)
def test_returns_that_end_no_line_are_blanks(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, newline="")
    assert [row["text"] for row in rows_of(tmp_path / "a.json")] == ["one", "two"]


@pytest.mark.parametrize("path", ["a.csv", "*.csv", "*"])
def test_a_file_is_no_folder_of_pictures(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.csv").write_text("text\none\n")
    with pytest.raises(JobError, match="`format: folder` is for directories of pictures: name the"):
        input_files(Input(path=(f"{tmp_path}/{path}",), format="folder"))


def test_a_pattern_of_directories_is_told_what_to_name(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/1.png").write_bytes(picture(1))
    with pytest.raises(InputError, match=r"is no pattern of files: name the directory above"):
        input_files(Input(path=(f"{tmp_path}/*/",)))


def test_a_file_has_no_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n")
    assert storage.files_in(f"{tmp_path}/a.csv") == []


Files = dict[str, bytes]


def texts_of(folder: Path, files: Files) -> dict[str, tuple[str | None, bool]]:
    (folder / "in").mkdir()
    for name, data in files.items():
        (folder / "in" / name).write_bytes(data)
    run_here(make_plan(folder / "run", "", "- write", input=[{"path": f"{folder}/in"}]))
    return {row["key"]: (row["text"], row["kept"]) for row in ledger(folder / "run")}


A, B = picture(1), picture(2)


def facts(text: str) -> bytes:
    return json.dumps({"caption": text}).encode()


def test_of_two_pictures_of_one_name_each_has_the_caption_of_its_whole_name(
    tmp_path: Path,
) -> None:
    found = texts_of(
        tmp_path, {"1.jpg": A, "1.png": B, "1.txt": b"of both", "1.png.txt": b"of the second"}
    )
    assert found == {"1": ("of both", True), "1.png": ("of the second", True)}


def test_facts_of_a_whole_name_stand_before_those_that_are_shared(tmp_path: Path) -> None:
    found = texts_of(
        tmp_path,
        {"1.jpg": A, "1.png": B, "1.json": facts("of both"), "1.jpg.json": facts("of the first")},
    )
    assert found == {"1": ("of the first", True), "1.png": ("of both", True)}


def test_of_one_picture_two_captions_are_a_row_more(tmp_path: Path) -> None:
    found = texts_of(tmp_path, {"1.png": A, "1.txt": b"the name's", "1.png.txt": b"the whole"})
    assert found == {"1": ("the name's", True), "1.png": ("the whole", False)}


def test_an_outline_of_such_a_file_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\r' * 3, newline="")
    (file,) = input_files(Input(path=(f"{tmp_path}/a.jsonl",)))
    assert RETURNS.replace("\\\\", "\\") in (outline(file).damage or "")
    assert len(list(ingest_file(file, IngestOptions()))) == 1
