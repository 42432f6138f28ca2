"""What lies in a directory is read, or named as left out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.pipeline.inputs.entries import listed
from tamis.pipeline.store import matching
from tamis.schemas.errors import InputError
from tamis.schemas.job import Input
from tamis.schemas.layout import MANIFEST, PLAN
from tests.support.input_files import touched
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

ROWS = '[{"url": "http://a/1.jpg", "text": "one"}]'


def read(path: Path | str, **entry: str) -> tuple[list[str], str]:
    """The files of an entry, and the notes on what is left out."""
    files, notes = listed(Input(path=(str(path),), **entry))
    return [file.relative for file in files], "\n".join(notes)


@pytest.mark.parametrize("ending", [".parquet", ".txt", ".png"])
def test_any_number_of_files_hides_no_other_kind(tmp_path: Path, ending: str) -> None:
    touched(tmp_path, *(f"a/{number:05d}{ending}" for number in range(10_050)), "b/00.tar")
    found, notes = read(tmp_path)
    assert "b/00.tar" in found
    assert ending == ".parquet" or f"10,050 {ending}" in notes
    assert len(found) == (10_051 if ending == ".parquet" else 1)


def test_any_number_of_lists_is_read(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02d}.json").write_text(ROWS if number != 7 else '{"a": 1}')
    found, notes = read(tmp_path)
    assert len(found) == 24
    assert "07.json lies there too and is not read: it holds one JSON object" in notes


def test_a_list_of_pictures_behind_many_tables_of_another_kind_is_found(tmp_path: Path) -> None:
    touched(tmp_path, "1.png", *(f"{number:02d}.csv" for number in range(25)))
    (tmp_path / "z.jsonl").write_text('{"file_name": "1.png", "text": "one"}\n')
    found, notes = read(tmp_path)
    assert found == ["z.jsonl"]
    assert "00.csv lies there too and is not read" in notes
    assert "20 .csv lie there too and are not read" in notes


def test_files_of_every_other_kind_are_counted(tmp_path: Path) -> None:
    touched(tmp_path, "0.tar", "0_stats.json", "README.md", "LICENSE", "old/1.tar.gz", "a.csv")
    found, notes = read(tmp_path)
    assert found == ["0.tar"]
    assert "1 .csv lie there too and are not read: name them" in notes
    assert "1.tar.gz lies there too and is not read: .tar.gz is packed" in notes
    assert "1 .json, 1 without ending, 1 .md lie there too and are not read" in notes


def test_what_belongs_to_pictures_is_not_named(tmp_path: Path) -> None:
    assert read(touched(tmp_path, "1.jpg", "1.txt", "1.json", "1.jpg.json")) == (["./"], "")


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "dead link": (link_to("/mnt/gone/x.png"), matching.DEAD),
    "relative dead link": (link_to("gone.png"), matching.DEAD),
    "link to itself": (link_to("x.png"), matching.CIRCLE),
    "link to above": (link_to(".."), matching.CIRCLE),
    "pipe": (os.mkfifo, matching.NO_FILE),
    "socket": (a_socket, matching.NO_FILE),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("others", ["1.png", "0.parquet", "rows.json"])
def test_what_is_no_file_is_named(tmp_path: Path, kind: str, others: str) -> None:
    make, why = NO_FILES[kind]
    touched(tmp_path / "in", f"sub/{others}")
    (tmp_path / "in/sub" / others).write_text(ROWS)
    make(tmp_path / "in/sub/x.png")
    found, notes = read(tmp_path / "in")
    assert len(found) == 1
    assert f"for each is {why}: {tmp_path}/in/sub/x.png" in notes


def test_a_directory_of_dead_links_alone_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to("/mnt/gone/x.png")
    with pytest.raises(
        InputError, match=r"without files, but .*x\.png, which is a link to what is"
    ):
        read(tmp_path)


def test_links_to_files_and_directories_are_followed(tmp_path: Path) -> None:
    touched(tmp_path, "far/2.png", "in/1.png")
    (tmp_path / "in/far").symlink_to(tmp_path / "far")
    assert read(tmp_path / "in") == (["./", "far/"], "")


@pytest.mark.parametrize("sign", [MANIFEST, "tables/x.parquet"])
@pytest.mark.parametrize("data", ["1.png", "0.tar", "0.parquet", "0.csv"])
def test_a_run_in_a_directory_is_left_out(tmp_path: Path, sign: str, data: str) -> None:
    files = ("ledger/0.parquet", "shards/0.tar", "subsets/a.csv", "old/1.png", "subset.npy")
    touched(tmp_path / "run", PLAN, sign, *files)
    touched(tmp_path, data)
    found, notes = read(tmp_path)
    assert found == ["./" if data == "1.png" else data]
    assert f"for each is {matching.RUN}: {tmp_path}/run" in notes


def test_a_pattern_through_all_directories_leaves_runs_out(tmp_path: Path) -> None:
    touched(tmp_path, "a/0.tar", "a/run/shards/1.tar", f"a/run/{PLAN}", f"a/run/{MANIFEST}")
    found, notes = read(f"{tmp_path}/**/*.tar")
    assert (found, matching.RUN in notes) == (["a/0.tar"], True)
    assert read(f"{tmp_path}/**/shards/*.tar") == (["a/run/shards/1.tar"], "")
    assert read(f"{tmp_path}/a/run/**/*.tar") == (["shards/1.tar"], "")


def test_a_relative_directory_names_a_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched(tmp_path, "in/1.png", f"in/run/{PLAN}", f"in/run/{MANIFEST}")
    monkeypatch.chdir(tmp_path)
    for path in ("in", "./in/", f"{tmp_path}/in"):
        assert read(path)[1].startswith("input `input`: 1 left out of 2 that match, for each is")


@pytest.mark.parametrize("path", ["/", "//", "/.", "/tmp/.."])
def test_the_whole_machine_is_no_input(path: str) -> None:
    with pytest.raises(InputError, match="is all of this machine"):
        read(path)


def test_a_directory_of_runs_alone_is_refused(tmp_path: Path) -> None:
    touched(tmp_path, f"run/{PLAN}", f"run/{MANIFEST}", "run/shards/0.tar")
    with pytest.raises(
        InputError, match=r"without files, but .*run, which is the directory of a run"
    ):
        read(tmp_path)
    with pytest.raises(
        InputError, match=r"is the directory of a run.*: name `.*/run/shards/\*\.tar`"
    ):
        read(tmp_path / "run")


def test_a_run_over_a_directory_that_another_run_lies_in_reads_its_data_alone(
    tmp_path: Path,
) -> None:
    samples = [Sample(f"{n}", picture(n), f"caption {n}", {}) for n in range(3)]
    write_tar(tmp_path / "in/0.tar", samples)
    run_here(make_plan(tmp_path / "in/out", tmp_path / "in/0.tar", "- write"))
    made = make_plan(tmp_path / "second", tmp_path / "in", "- write")
    assert run_here(made).accounts[-1].kept == 3
    assert [note for note in made.notes if matching.RUN in note]


def test_a_job_that_names_json_lines_reads_json_lists_of_a_directory(tmp_path: Path) -> None:
    touched(tmp_path, "1.png", "0.tar")
    (tmp_path / "rows.json").write_text('[{"file_name": "1.png", "text": "one"}]')
    assert read(tmp_path, format="jsonl")[0] == ["rows.json"]
