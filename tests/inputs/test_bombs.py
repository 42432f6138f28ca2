"""A small file takes no more memory or time than a large one may: what is beyond a bound is a row that says so."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.inputs import images
from tamis.pipeline.inputs.images import ImageDamage, inspect
from tamis.pipeline.inputs.jpeg_scans import MAX_SCANS, marks
from tamis.pipeline.inputs.parquet.batch_size import BATCH_BYTES, batch_rows
from tamis.pipeline.inputs.parquet.file import open_parquet
from tests.conftest import ROOT
from tests.support.input_files import ingest, ingest_bytes
from tests.support.running import picture
from tests.support.tars import make_tar

BEHIND = 2 << 30
"""Bytes of address space beyond what the process has at first: a small machine."""

PROGRAM = """
import os, resource, sys
from collections import Counter
from pathlib import Path
from tests.support.input_files import ingest

def read(path):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[1]),) * 2)
    rows = [(row["reason"], row["message"]) for part in ingest(Path(path)) for row in part.to_pylist()]
    print(sorted(Counter(str(reason) for reason, _ in rows).items()), flush=True)

for line in sys.stdin:
    child = os.fork()
    if not child:
        read(line.strip())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""Reads each file in a process of its own, forked where all is imported: what it found there, and its exit code."""


@pytest.fixture(scope="module")
def reader() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, str(BEHIND)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        yield process


def repeated(value: Any, count: int) -> pa.Array:
    """A column that holds a value once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def captions(count: int) -> list[str]:
    return [f"honest caption {number}" for number in range(count)]


def among_honest(long: str, count: int) -> pa.Array:
    """Every third caption honest, all others ``long``, which is held once."""
    honest = [f"caption {number}" for number in range(0, count, 3)]
    places = [0 if number % 3 else 1 + number // 3 for number in range(count)]
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array([long, *honest]))


BOMBS: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, int]]] = {
    "urls": (
        lambda: {"caption": captions(2200), "url": repeated("http://h/" + "u" * (1 << 20), 2200)},
        {"None": 2200},
    ),
    "keys": (
        lambda: {"caption": captions(2200), "key": repeated("k" * (1 << 20), 2200)},
        {"None": 2200},
    ),
    "captions": (
        lambda: {"caption": repeated("w " * (2 << 20), 550)},
        {"caption_too_long": 550},
    ),
    "captions among honest ones": (
        lambda: {"caption": among_honest("w " * (1 << 20), 900)},
        {"None": 300, "caption_too_long": 600},
    ),
    "pictures": (
        lambda: {"caption": captions(26), "image": repeated(picture(1) + bytes(100 << 20), 26)},
        {"None": 26},
    ),
}
"""What makes the columns, and how many of their rows are read and how many refused. Unfolded, all but one take more
than ``BEHIND``; they are made when they are asked for, not whenever tests are collected."""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["dictionary", "plain"])
@pytest.mark.parametrize("kind", BOMBS)
def test_a_column_unfolds_a_little_at_a_time(
    kind: str, encoding: str, reader: subprocess.Popen[str], tmp_path: Path
) -> None:
    make, due = BOMBS[kind]
    columns = make()
    path = tmp_path / "x.parquet"
    if encoding == "plain":
        count = 300 if kind != "pictures" else 16
        columns = {name: column[:count] for name, column in columns.items()}
        table = pa.table({n: c.cast(c.type.value_type) if isinstance(c, pa.DictionaryArray) else c
                          for n, c in columns.items()})  # fmt: skip
        pq.write_table(table, path, compression="zstd", use_dictionary=False, write_batch_size=1)
        due = {reason: min(count, rows) for reason, rows in due.items()}
        due = {"None": 100, "caption_too_long": 200} if len(due) > 1 else due
    else:
        pq.write_table(pa.table(columns), path, compression="zstd")
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(f"{path}\n")
    reader.stdin.flush()
    assert reader.stdout.readline().strip() == str(sorted(due.items()))
    assert reader.stdout.readline().strip() == "0"


def test_honest_files_are_read_in_whole_batches(tmp_path: Path) -> None:
    table = pa.table({"text": captions(5000), "url": [f"http://h/{i}" for i in range(5000)]})
    pq.write_table(table, tmp_path / "x.parquet")
    with open_parquet(str(tmp_path / "x.parquet")) as file:
        assert batch_rows(file, 0, ["text", "url"], 1024) == 1024


@pytest.mark.parametrize("cell", [1 << 16, 1 << 18, 1 << 21])
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_batch_has_its_bytes(cell: int, dictionary: bool, tmp_path: Path) -> None:
    column = repeated("x" * cell, 400)
    table = pa.table({"text": column if dictionary else column.dictionary_decode()})
    pq.write_table(table, tmp_path / "x.parquet", use_dictionary=dictionary)
    with open_parquet(str(tmp_path / "x.parquet")) as file:
        rows = batch_rows(file, 0, ["text"], 1024)
    assert BATCH_BYTES / 2 <= rows * cell <= BATCH_BYTES


def progressive(side: int = 64) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "JPEG", progressive=True)
    return out.getvalue()


def with_scans(data: bytes, more: int) -> bytes:
    """The picture with its last scan again and again."""
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * more + data[-2:]


def test_a_jpeg_of_many_scans_is_a_bomb() -> None:
    data = progressive()
    assert inspect(with_scans(data, 5)).width == inspect(data).width
    for more in (MAX_SCANS, 5000):
        for read in (inspect, images.to_rgb):
            with pytest.raises(ImageDamage, match=f"scans: the limit is {MAX_SCANS}") as bomb:
                read(with_scans(data, more))
            assert str(bomb.value.reason) == "image_too_large"


def test_scans_are_counted_wherever_they_stand() -> None:
    draw = np.random.default_rng(5)
    for size in range(2, 200):
        data = draw.choice(np.array([0xFF, 0xDA, 0], np.uint8), size).tobytes()
        for given in (data, memoryview(data)):
            assert marks(given) == data.count(b"\xff\xda")


def test_what_only_looks_like_scans_is_none() -> None:
    """In a comment, in a thumbnail, and behind the picture's end."""
    data = progressive()
    comment = b"\xff\xfe\xea\x62" + b"\xff\xda" * 30_000
    for odd in (data[:2] + comment + data[2:], data + b"\xff\xda\0\1" * 500):
        assert inspect(odd).pixels == inspect(data).pixels


def test_a_jpeg_in_a_tiff_is_bounded_too() -> None:
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (512, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "TIFF", compression="jpeg")
    assert inspect(out.getvalue()).height == 512
    with pytest.raises(ImageDamage, match="scans"):
        inspect(out.getvalue() + b"\xff\xda" * 2000)


def test_a_key_of_many_members_is_one_short_row(tmp_path: Path) -> None:
    dotted = [(f"IMG.{i:05}.{end}", b"x") for i in range(3000) for end in ("jpg", "txt")]
    (row,) = ingest_bytes(tmp_path, make_tar(dotted))
    assert row["reason"] == "missing_image"
    assert len(row["message"]) < 300
    assert "and 5,995 more (a key ends at the first dot of the file's name)" in row["message"]
    many = [("a.png", picture(1)), ("a.txt", b"two words"), *((f"a.{i}", b"x") for i in range(900))]
    (row,) = ingest_bytes(tmp_path, make_tar(many))
    assert (row["reason"], len(row["members"])) == ("unsupported_member", 256)


def test_long_keys_end_a_part_early(tmp_path: Path) -> None:
    names = [f"{'k' * 900_000}{i}.txt" for i in range(90)]
    path = tmp_path / "x.tar"
    path.write_bytes(make_tar([(name, b"x") for name in names], tarfile.PAX_FORMAT))
    parts = ingest(path)
    assert [part.num_rows for part in parts] == [75, 15]
    twice = make_tar([(name, b"x") for name in [names[0], "b.txt", names[0]]], tarfile.PAX_FORMAT)
    path.write_bytes(twice)
    reasons = Counter(row["reason"] for part in ingest(path) for row in part.to_pylist())
    assert reasons == {"missing_image": 2, "duplicate_key": 1}


def test_the_limit_of_this_process_stands() -> None:
    """The bombs are read in processes of their own."""
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
