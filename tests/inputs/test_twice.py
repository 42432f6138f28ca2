"""A file that is named twice, or linked twice, is read once or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.pipeline.inputs.entries import listed
from tamis.pipeline.planning.preview import preview
from tamis.schemas.errors import JobError
from tamis.schemas.job import Input
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

LINKS: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda path, target: path.symlink_to(target),
    "relative link": lambda path, target: path.symlink_to(os.path.relpath(target, path.parent)),
    "second name": lambda path, target: path.hardlink_to(target),
}


def tar(path: Path) -> Path:
    return write_tar(path, [Sample(f"{n}", picture(n), f"caption {n}", {}) for n in range(20)])


def read(*paths: Path | str) -> tuple[list[str], str]:
    files, notes = listed(Input(path=tuple(map(str, paths))))
    return [file.relative for file in files], "\n".join(notes)


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_and_its_target_are_read_once(tmp_path: Path, kind: str) -> None:
    tar(tmp_path / "in/b.tar")
    LINKS[kind](tmp_path / "in/a.tar", tmp_path / "in/b.tar")
    stays, other = ("a.tar", "b.tar") if kind == "second name" else ("b.tar", "a.tar")
    for paths in ([tmp_path / "in"], [f"{tmp_path}/in/*"], sorted((tmp_path / "in").iterdir())):
        found, notes = read(*paths)
        assert found == [stays]
        assert (
            f"1 of 2 files are others of them, by links, and are read once: {tmp_path}/in/{other} is"
            in notes
        )
    made = make_plan(tmp_path / "run", tmp_path / "in", "- write")
    assert preview(made)["inputs"][0]["files"] == 1
    assert any("read once" in note for note in preview(made)["notes"])
    assert run_here(made).accounts[-1].kept == 20


def test_two_links_to_a_file_elsewhere_are_read_once(tmp_path: Path) -> None:
    target = tar(tmp_path / "far/0.tar")
    (tmp_path / "in").mkdir()
    for name in "cab":
        (tmp_path / f"in/{name}.tar").symlink_to(target)
    found, notes = read(tmp_path / "in")
    assert found == ["a.tar"]
    assert "2 of 3 files" in notes


@pytest.mark.parametrize("data", ["0.tar", "1.png"])
def test_a_directory_and_a_link_to_it_are_read_once(tmp_path: Path, data: str) -> None:
    (tmp_path / "in/b").mkdir(parents=True)
    (tmp_path / "in/b" / data).write_bytes(picture(1))
    (tmp_path / "in/a").symlink_to(tmp_path / "in/b")
    found, notes = read(tmp_path / "in")
    assert found == ["b/" if data == "1.png" else "b/0.tar"]
    assert "1 of 2 files are others of them" in notes


def test_files_of_the_same_bytes_are_two(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes((tmp_path / "a.tar").read_bytes())
    assert read(tmp_path) == (["a.tar", "b.tar"], "")


@pytest.mark.parametrize("kind", ["path", "directory", *LINKS])
def test_two_entries_of_one_file_are_refused(tmp_path: Path, kind: str) -> None:
    first = tar(tmp_path / "a/0.tar")
    second = first
    if kind == "directory":
        second = first.parent
    elif kind != "path":
        second = tmp_path / "1.tar"
        LINKS[kind](second, first)
    entries = [{"path": str(first)}, {"path": str(second), "name": "other"}]
    with pytest.raises(JobError, match=r"inputs `input` and `other`: .*\.tar is a file of both"):
        make_plan(tmp_path / "run", "", "- write", input=entries)


def test_two_entries_may_read_other_columns_of_one_file(tmp_path: Path) -> None:
    path = str(tar(tmp_path / "0.tar"))
    entries = [{"path": path}, {"path": path, "name": "other", "columns": {"text": "caption"}}]
    made = make_plan(tmp_path / "run", "", "- write", input=entries)
    assert len(made.inputs) == 2
