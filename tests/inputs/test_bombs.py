"""A small file takes no more memory or time than a large one may: what is beyond a bound is a row that says so."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.inputs import images
from tamis.pipeline.inputs.images import MAX_SCANS, ImageDamage, inspect
from tamis.pipeline.inputs.parquet.batch_size import BATCH_BYTES, batch_rows
from tamis.pipeline.inputs.parquet.file import open_parquet
from tests.conftest import ROOT
from tests.support.input_files import ingest, ingest_bytes
from tests.support.running import picture
from tests.support.tars import make_tar

BEHIND = 2 << 30
"""Bytes of address space beyond what the process has at first: a small machine."""

PROGRAM = """
import resource, sys
from pathlib import Path
from tests.support.input_files import ingest
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[2]),) * 2)
from collections import Counter
rows = [(row["reason"], row["message"]) for part in ingest(Path(sys.argv[1])) for row in part.to_pylist()]
print(sorted(Counter(str(reason) for reason, _ in rows).items()))
"""


def repeated(value: Any, count: int) -> pa.Array:
    """A column that holds a value once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def captions(count: int) -> list[str]:
    return [f"honest caption {number}" for number in range(count)]


BOMBS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "urls": ({"caption": captions(4000), "url": repeated("http://h/" + "u" * (1 << 20), 4000)}, {"None": 4000}),
    "keys": ({"caption": captions(4000), "key": repeated("k" * (1 << 20), 4000)}, {"None": 4000}),
    "captions": ({"caption": repeated("w " * (2 << 20), 1024)}, {"caption_too_long": 1024}),
    "captions among honest ones": (
        {"caption": pa.array([f"caption {i}" if i % 3 == 0 else "w " * (1 << 20) for i in range(900)])
         .dictionary_encode()},
        {"None": 300, "caption_too_long": 600},
    ),
    "pictures": (
        {"caption": captions(48), "image": repeated(picture(1) + bytes(100 << 20), 48)}, {"None": 48},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["dictionary", "plain"])
@pytest.mark.parametrize("kind", BOMBS)
def test_a_column_unfolds_a_little_at_a_time(kind: str, encoding: str, tmp_path: Path) -> None:
    columns, due = BOMBS[kind]
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
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(BEHIND)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.strip() == str(sorted(due.items()))


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
