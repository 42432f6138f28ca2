"""How near ingest comes to what it cannot do without: reading, hashing, decoding once.

    python tests/benchmarks/bench_ingest.py [TAR]

Times are of one process, the best of several rounds; on a busy machine compare the ratios alone.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pyarrow as pa
from PIL import Image

from pipeline import storage
from pipeline.formats import fetch, tar_header
from pipeline.formats.images import inspect
from pipeline.formats.ingest import ingest_file
from pipeline.formats.rows import IngestOptions
from pipeline.formats.sources import Source
from pipeline.formats.tar import Walker
from pipeline.formats.webdataset import IMAGE_SUFFIXES

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
    with mock.patch.object(tar_header, "_checksum_fits", return_value=True):
        unchecked = best(lambda: walk(path))
    checks = best(lambda: walk(path)) - unchecked
    print(
        f"ingest reaches {seconds['decode (Pillow)'] / seconds['ingest']:.2f} of the bare decode; "
    )
    print(f"header checks are {checks / seconds['ingest']:.2%} of it")


if __name__ == "__main__":
    main()
