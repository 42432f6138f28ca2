"""A directory stands for the files below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.input_files import prefix_of
from tamis.schemas.errors import InputError
from tamis.schemas.job import Input


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
        ([], r"a directory without files: name one that has .tar or .parquet"),
        (
            ["1.jpg", "2.jpg", "1.txt"],
            r"a directory of 2 .jpg, 1 .txt: single pictures are not read: pack",
        ),
        (["a.csv"], r"a directory of 1 .csv: .csv is not read: make parquet of it"),
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
