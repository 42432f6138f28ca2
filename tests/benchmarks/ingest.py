"""How near ingest comes to what it cannot do without: reading, hashing, decoding once.

    python tests/benchmarks/bench_ingest.py [TAR]

Times are of one process, the best of several rounds; on a busy machine compare the ratios alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
from PIL import Image

from pipeline import storage
from pipeline.formats import captions, fetch, ingest, tar_header
from pipeline.formats.images import inspect
from pipeline.formats.ingest import ingest_file
from pipeline.formats.rows import IngestOptions
from pipeline.formats.sources import Source
from pipeline.formats.tar import Walker
from pipeline.formats.uids import hash_uid
from pipeline.formats.webdataset import IMAGE_SUFFIXES
from schemas.tables import INGEST

EXAMPLE = Path(__file__).parents[2] / "jobs" / "examples" / "clipart" / "00000.tar"
ROUNDS = 5
CHUNK = 4 << 20


def best(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def read(path: Path, hashed: bool) -> None:
    """The file once, in order."""
    digest = hashlib.sha256()
    with storage.open_read(str(path)) as stream:
        while chunk := stream.read(CHUNK):
            if hashed:
                digest.update(chunk)


def walk(path: Path) -> None:
    """Every member."""
    with storage.open_read(str(path)) as stream:
        for _ in Walker(stream):
            pass


def standard_library(path: Path) -> None:
    """Every member, by tarfile."""
    with tarfile.open(path) as tar:
        for info in tar:
            member = tar.extractfile(info)
            if member is not None:
                member.read()


def main() -> None:
    """Print the rates."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLE
    source = Source("input", path.name, str(path), "tar", path.stat().st_size)
    megabytes = source.size / 1e6
    for name, work in {
        "read": lambda: read(path, hashed=False),
        "read and sha256": lambda: read(path, hashed=True),
        "walk (read, sha256, checksums)": lambda: walk(path),
        "tarfile": lambda: standard_library(path),
    }.items():
        print(f"{name:34} {megabytes / best(work):8.0f} MB/s")

    with tarfile.open(path) as tar:
        chosen = [info for info in tar if info.name.rpartition(".")[2] in IMAGE_SUFFIXES]
        files = [tar.extractfile(info) for info in chosen]
        pictures = [file.read() for file in files if file is not None]
    table = pa.concat_tables(ingest_file(source, IngestOptions()))
    rates = {
        "decode (Pillow)": lambda: [Image.open(io.BytesIO(data)).load() for data in pictures],
        "inspect (decode, two hashes)": lambda: [inspect(data) for data in pictures],
        "ingest": lambda: list(ingest_file(source, IngestOptions())),
        "fetch again, checked": lambda: list(fetch.pictures(source, table)),
    }
    seconds = {name: best(work) for name, work in rates.items()}
    for name, value in seconds.items():
        print(f"{name:34} {len(pictures) / value:8.0f} pictures/s")
    print(f"ingest reaches {seconds['decode (Pillow)'] / seconds['ingest']:.2f} of the bare decode")
    checked, unchecked, careless = raced(
        lambda: list(ingest_file(source, IngestOptions())),
        lambda: without_checks(source),
        lambda: without_care(path),
    )
    print(f"all checks together take {1 - unchecked / checked:+.2%} of ingest's time")
    print(
        f"{careless / checked:.3f} of the speed of a reader that trusts every byte (tarfile, the same work a picture)"
    )


def raced(*works: Callable[[], object]) -> list[float]:
    """Seconds of processor time of each, the best of rounds in which they take turns: load changes meet them alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(2 * ROUNDS):
        for work, found in zip(works, times, strict=True):
            start = time.process_time()
            work()
            found.append(time.process_time() - start)
    return [min(found) for found in times]


def without_checks(source: Source) -> object:
    """Ingest that believes every header, name, caption and layout."""
    with ExitStack() as stack:
        for owner, name, answer in (
            (tar_header, "_checksum_fits", True),
            (tar_header, "is_unsafe", False),
            (captions, "is_text", True),
            (ingest, "_layout_fault", {}),
            (IngestOptions, "why_closed", None),
        ):
            stack.enter_context(mock.patch.object(owner, name, lambda *_, _answer=answer: _answer))
        believed = mock.patch.object(captions, "judge_caption", lambda text, *_: {"text": text})
        stack.enter_context(believed)
        return list(ingest_file(source, IngestOptions()))


def without_care(path: Path) -> object:
    """What ingest has to find out, by the shortest way: hashes, sizes, captions of a faultless tar."""
    read(path, hashed=True)
    rows: dict[str, dict[str, Any]] = {}
    with tarfile.open(path) as tar:
        for info in tar:
            key, _, suffix = info.name.partition(".")
            member = tar.extractfile(info)
            data = member.read() if member is not None else b""
            uid = hash_uid("input", path.name, "sample", key, 0)
            row = rows.setdefault(key, {"uid": uid, "key": key, "members": []})
            place = {"suffix": suffix, "offset": info.offset_data, "size": info.size}
            row["members"].append(place)
            if suffix in IMAGE_SUFFIXES:
                found = inspect(data)
                row |= found._asdict() | {"image_format": found.format, "image_size": info.size}
                row |= {
                    "sha256": hashlib.sha256(data).digest(),
                    "image_offset": info.offset_data,
                }
            elif suffix == "json":
                row |= {"meta": data.decode(), "url": json.loads(data).get("url")}
            else:
                row |= {"text": data.decode()}
    return pa.Table.from_pylist(list(rows.values()), schema=INGEST)


if __name__ == "__main__":
    main()
