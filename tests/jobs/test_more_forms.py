"""More forms that people have: metadata beside tars, downloads that failed, other encodings, links, odd names."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.schemas.errors import InputError, JobError
from tests.jobs.test_odd_forms import BODY, CAPTIONS, COUNT, HEADER, PICTURES, ROWS, said, sound
from tests.support.running import make_plan
from tests.support.tars import make_tar

Write = Callable[[Path], object]
NUMBERS = range(COUNT)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"
PAGE = b"<!DOCTYPE html><html>Not found</html>" * 40
TEXTS = [base64.b64encode(data).decode() for data in PICTURES]
METADATA = pa.table({"url": ["http://example.org/a"] * COUNT, "caption": CAPTIONS})


def photos(folder: Path, suffix: str = "txt", encoding: str = "utf-8") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in NUMBERS:
        (folder / f"{i}.png").write_bytes(PICTURES[i])
        (folder / f"{i}.{suffix}").write_bytes(f"{CAPTIONS[i]}, café".encode(encoding))


def beside(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in NUMBERS:
        (folder / f"{i}.png").write_bytes(PICTURES[i])


def tar(path: Path) -> None:
    pairs = [(f"{i}.png", PICTURES[i]) for i in NUMBERS], [(f"{i}.txt", b"a b c") for i in NUMBERS]
    path.write_bytes(make_tar([member for pair in zip(*pairs, strict=True) for member in pair]))


def img2dataset_tars(folder: Path) -> None:
    tar(folder / "00000.tar")
    pq.write_table(METADATA, folder / "00000.parquet")
    (folder / "00000_stats.json").write_text('{"count": 4}')


def img2dataset_files(folder: Path) -> None:
    photos(folder / "00000")
    pq.write_table(METADATA, folder / "00000.parquet")


def linked(folder: Path) -> None:
    photos(folder.parent / "elsewhere")
    for file in (folder.parent / "elsewhere").iterdir():
        os.symlink(file, folder / file.name)


def loop(folder: Path) -> None:
    photos(folder)
    os.symlink(folder, folder / "loop")
    os.symlink("/nowhere.png", folder / "dangling.png")


def many(folder: Path) -> None:
    for i in range(600):
        (folder / f"{i:05}.png").write_bytes(PICTURES[i % COUNT])
        (folder / f"{i:05}.txt").write_text(CAPTIONS[i % COUNT])


def clone(folder: Path) -> None:
    tar(folder / "0.tar")
    (folder / "README.md").write_text("x")


READ: dict[str, tuple[Write, int]] = {
    "tars of img2dataset with its metadata": (img2dataset_tars, COUNT),
    "files of img2dataset with its metadata": (img2dataset_files, COUNT),
    "links to files": (linked, COUNT),
    "links that go round or nowhere": (loop, COUNT),
    "names in capitals with blanks": (lambda folder: photos(folder / "My 'Photos' (1)", "TXT"), COUNT),
    "hundreds of small files": (many, 600),
    "ten folders deep": (lambda folder: photos(folder.joinpath(*"abcdefghij")), COUNT),
    "a clone with text beside data": (clone, COUNT),
}  # fmt: skip
"""Forms -> how many samples they have, all of which are read."""


def raw(name: str, data: bytes) -> Write:
    return lambda folder: (folder / name).write_bytes(data)


def cut(folder: Path) -> None:
    pq.write_table(pa.table({"image": PICTURES, "text": CAPTIONS}), folder / "0.parquet")
    data = (folder / "0.parquet").read_bytes()
    (folder / "0.parquet").write_bytes(data[: len(data) // 2])


def in_a_folder(folder: Path) -> None:
    beside(folder / "images")
    (folder / "captions.csv").write_text(HEADER + BODY)


def table(name: str, data: bytes) -> Write:
    def write(folder: Path) -> None:
        beside(folder)
        (folder / name).write_bytes(data)

    return write


TOLD: dict[str, tuple[Write, str]] = {
    "a pointer of LFS for a tar": (raw("0.tar", POINTER), "git lfs pull"),
    "a pointer of LFS for parquet": (raw("0.parquet", POINTER), "git lfs pull"),
    "a page for a tar": (raw("0.tar", PAGE), "a web page: its download has failed"),
    "a page for parquet": (raw("0.parquet", PAGE), "a web page: its download has failed"),
    "half a file of parquet": (cut, "Parquet magic bytes not found in footer"),
    "a download that goes on": (raw("0.tar.part", b"1"), "a download that has not ended"),
    "TFRecord": (raw("0.tfrecord", b"1"), ".tfrecord is not read: write parquet of it"),
    "captions of another encoding": (
        lambda folder: photos(folder, encoding="latin-1"),
        "# the captions cannot be used: ",
    ),
    "CSV of another encoding": (
        table("a.csv", (HEADER + BODY.replace("picture", "été")).encode("latin-1")),
        "iconv -f WINDOWS-1252 -t UTF-8",
    ),
    "pictures as text in lines": (
        raw("a.jsonl", "".join(f"{json.dumps({'image': t, 'text': 'a b'})}\n" for t in TEXTS).encode()),
        "a picture as text, which is not read",
    ),
    "pictures as text in tabs": (
        raw("a.tsv", "".join(f"{i}\t{text}\ta b\n" for i, text in enumerate(TEXTS)).encode()),
        "its first row is no header",
    ),
    "a list above its pictures": (in_a_folder, "it lies in images/: put the table there"),
    "captions of Kohya's": (lambda folder: photos(folder, "caption"), "# columns: {text: caption}"),
    "metadata that is passed over": (img2dataset_files, "00000.parquet lies there too and is not read"),
}  # fmt: skip
"""Forms -> a piece of what is said of them."""


@pytest.mark.parametrize("name", READ)
def test_all_is_read_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    write, count = READ[name]
    write(tmp_path / "in")
    text = fitted([f"{tmp_path}/in"])
    assert "captions:" not in text
    assert sound(text) == (count, count)


@pytest.mark.parametrize("name", TOLD)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    write, piece = TOLD[name]
    write(tmp_path / "in")
    text = said(tmp_path / "in")
    assert piece in text
    assert all(len(line) < 1000 for line in text.splitlines())


def test_text_of_another_encoding_is_read_after_the_command_that_is_told(tmp_path: Path) -> None:
    TOLD["CSV of another encoding"][0](tmp_path)
    command = re.search(r"iconv [^)]*", said(tmp_path))
    assert command is not None
    path = tmp_path / "a.csv"
    text = subprocess.run([*command[0].split(), str(path)], check=True, capture_output=True).stdout
    path.write_bytes(text)
    assert sound(fitted([str(tmp_path)])) == (len(ROWS), len(ROWS))


def test_a_name_that_is_a_pattern_is_told(tmp_path: Path) -> None:
    photos(tmp_path / "set[1]")
    assert "is there, but * ? [ ] { } are patterns" in said(tmp_path / "set[1]")


@pytest.mark.parametrize("output", ["in/out", "in/deep/out", "in", "in/../in/out"])
def test_an_output_in_its_input_is_refused(tmp_path: Path, output: str) -> None:
    photos(tmp_path / "in")
    with pytest.raises(JobError, match=r"lies in the input .*: name a place outside it"):
        make_plan(tmp_path / output, tmp_path / "in", "- write")
    make_plan(tmp_path / "in-out", tmp_path / "in", "- write")


def test_a_path_of_windows_is_told() -> None:
    with pytest.raises(
        InputError, match="a path of Windows, which WSL calls /mnt/c/Users/me/pictures"
    ):
        fitted([r"C:\Users\me\pictures"])
