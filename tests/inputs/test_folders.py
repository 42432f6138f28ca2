"""A directory stands for the files below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.input_files import prefix_of
from tamis.schemas.errors import InputError
from tamis.schemas.job import Input
from tests.support.input_files import touched


def names(path: Path | str) -> list[str]:
    """The files of an entry, below their prefix."""
    return [file.relative for file in input_files(Input(path=(str(path),)))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with tars, also in a directory of it, and other files."""
    for name in ("a/0.tar", "a/b/1.tar", "a/README.md", "a/.hidden/2.tar"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "a"


def test_a_directory_is_all_files_below_it(folder: Path) -> None:
    assert names(folder) == names(f"{folder}/") == ["0.tar", "b/1.tar"]


def test_its_samples_have_the_names_that_a_pattern_gives_them(folder: Path) -> None:
    assert names(folder) == names(f"{folder}/**/*.tar")
    assert prefix_of([str(folder)]) == prefix_of([f"{folder}/**/*.tar"]) == str(folder)


def test_tars_and_parquet_may_lie_together(folder: Path) -> None:
    (folder / "x.parquet").touch()
    assert names(folder) == ["0.tar", "b/1.tar", "x.parquet"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"a directory without files: name one that has .tar or .parquet or"),
        (
            ["a.json", "b.orc"],
            r"a directory of 1 .json, 1 .orc: .orc is not read: make parquet of it",
        ),
        (["a.tar.gz"], r"a directory of 1 .tar.gz: .tar.gz is packed"),
        (["notes"], r"a directory of 1 without ending: name one that has"),
    ],
)
def test_a_directory_of_other_files_says_what_it_has(
    tmp_path: Path, files: list[str], message: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        names(tmp_path)


def test_pictures_are_read_folder_by_folder(tmp_path: Path) -> None:
    touched(tmp_path, "1.jpg", "1.txt", "notes.md", "cats/2.PNG", "cats/new/3.heic", "empty/x.txt")
    found = input_files(Input(path=(str(tmp_path),)))
    assert [(file.relative, file.kind) for file in found] == [
        ("./", "folder"),
        ("cats/", "folder"),
        ("cats/new/", "folder"),
    ]
    assert found[1].path == f"{tmp_path}/cats/"


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    for path in (f"{tmp_path}/gone/", f"{tmp_path}/gone"):
        with pytest.raises(InputError, match="is not there"):
            names(path)


def test_archives_come_before_pictures(tmp_path: Path) -> None:
    assert names(touched(tmp_path, "1.jpg", "x.csv", "0.tar")) == ["0.tar"]


def test_a_list_of_pictures_comes_before_the_pictures(tmp_path: Path) -> None:
    touched(tmp_path, "1.jpg", "metadata.jsonl")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "1.jpg", "text": "one"}\n')
    assert names(tmp_path) == ["metadata.jsonl"]
    (tmp_path / "metadata.jsonl").write_text('{"stars": 3}\n')
    assert names(tmp_path) == ["./"]


def test_tables_without_pictures_are_read(tmp_path: Path) -> None:
    assert names(touched(tmp_path, "a.csv", "b/c.jsonl")) == ["a.csv", "b/c.jsonl"]


def test_a_job_that_names_the_format_has_its_files_alone(tmp_path: Path) -> None:
    touched(tmp_path, "1.jpg", "x.csv", "0.tar")
    for form, expected in (("folder", "./"), ("csv", "x.csv"), ("webdataset", "0.tar")):
        (found,) = input_files(Input(path=(str(tmp_path),), format=form))
        assert found.relative == expected


def test_a_folder_whose_files_change_has_another_stamp(tmp_path: Path) -> None:
    touched(tmp_path, "1.jpg")
    (before,) = input_files(Input(path=(str(tmp_path),)))
    (tmp_path / "1.txt").write_text("new")
    (after,) = input_files(Input(path=(str(tmp_path),)))
    assert before.stamp != after.stamp
    assert after.size == 3
