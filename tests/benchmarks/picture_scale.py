"""The search for near-duplicate pictures at any size: rows a second and memory; and what the second look costs.

Hashes and layouts are those of a finished run's pictures, repeated until there are enough of them. The hashes of each
repetition are turned by a mask of its own: it is another collection, as crowded as the first. A tenth of the rows are
planted copies of others: a bit of the hash flipped, a level of some cells changed. All have pixels of their own. No
picture is opened for it. The second look is timed on the pictures themselves, beside what ingest does with each.

    PYTHONPATH=. python -m tests.benchmarks.picture_scale RUN --pictures 1000000 --folder TARS
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.algorithms.grouping import leaders
from tamis.pipeline.algorithms.near_pictures import details, hamming, layouts, search
from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.inputs.images import MAX_PIXELS, inspect
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures
from tests.support.running import read_tar

Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

COPIES = 0.1


def of_run(root: Path) -> tuple[Hashes, Bytes]:
    """Hashes and layouts of a run's pictures that differ in either."""
    files = sorted((root / "tables/ingest/files").glob("file-*.parquet"))
    tables = [pq.ParquetFile(path).read(["phash", "layout"]) for path in files]
    table = pa.concat_tables([one.replace_schema_metadata() for one in tables]).drop_null()
    raw = b"".join(table["layout"].to_pylist())
    rows = np.frombuffer(raw, np.uint8).reshape(table.num_rows, -1)
    hashes = table["phash"].to_numpy()
    _, first = np.unique(layouts.keys(rows, hashes), return_index=True)
    return hashes[first], rows[first]


def made(root: Path, count: int) -> tuple[Hashes, Bytes]:
    """``count`` rows: see the module."""
    hashes, rows = of_run(root)
    draw = np.random.default_rng(1)
    originals = round(count * (1 - COPIES))
    at = np.arange(originals)
    masks = draw.integers(0, 2**64, 1 + originals // len(hashes), dtype=np.uint64)
    turned = hashes[at % len(hashes)] ^ masks[at // len(hashes)]
    source = draw.integers(originals, size=count - originals)
    flipped = turned[source] ^ (np.uint64(1) << draw.integers(0, 64, len(source)).astype(np.uint64))
    copies = rows[source % len(hashes)].copy()
    cells = draw.integers(2, 2 + layouts.CELLS // 2, (len(source), 4))
    copies[np.arange(len(source))[:, None], cells] ^= 1
    whole = np.concatenate([rows[at % len(hashes)], copies])
    return np.concatenate([turned, flipped]), whole


def searched(root: Path, count: int) -> None:
    """The search from rows to verified edges, in this process."""
    given = NearPictures()
    hashes, rows = made(root, count)
    draw = np.random.default_rng(0)
    uid = draw.integers(0, 2**64, (count, 2), dtype=np.uint64)
    pixels = draw.integers(0, 2**64, count, dtype=np.uint64)
    before = time.process_time()
    pictures = search.Pictures(hashes, rows, given.hamming, given.difference, pixels)
    rank = leaders.ranks(uid)
    same, _ = search.nodes(pictures, rank)
    members = search.firsts_of_nodes(pictures, rank)
    masks = hamming.masks(len(members), given.hamming)
    edges = search.tables(pictures, rank, members, masks, range(len(masks)))
    seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{count:,} pictures, {len(masks)} tables: {seconds:.1f} CPU s, {count / seconds:,.0f} a second; "
        f"{len(same) + len(edges.a):,} edges, {edges.unsearched:,} unsearched; at most {peak:,} MiB"
    )


def looked(folder: Path) -> None:
    """What ingest does with the first thousand pictures of a folder, and what the second look does."""
    pictures = [sample.image for sample in read_tar(min(folder.glob("*.tar")))][:1000]
    seconds = []
    for work in (inspect, lambda data: detail_of(data, MAX_PIXELS)):
        before = time.process_time()
        found = [work(data) for data in pictures]
        seconds.append(time.process_time() - before)
    table = np.frombuffer(b"".join(map(bytes, found)), np.uint8).reshape(len(found), -1)  # type: ignore[arg-type]
    a, b = np.random.default_rng(2).integers(len(pictures), size=(2, 100_000))
    before = time.process_time()
    details.difference(table, a, b)
    each = [1e6 * spent / len(pictures) for spent in seconds]
    compared = 1e6 * (time.process_time() - before) / len(a)
    print(
        f"{len(pictures):,} pictures: inspected in {each[0]:,.0f} µs each, details in {each[1]:,.0f} µs, "
        f"{details.BYTES:,} bytes; a pair compared in {compared:.1f} µs"
    )


def main() -> None:
    """A line for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("run", type=Path)
    options.add_argument("--pictures", type=int, nargs="+", default=[1_000_000])
    options.add_argument("--folder", type=Path, help="of webdataset tars")
    given = options.parse_args()
    for count in given.pictures:
        searched(given.run, count)
    if given.folder:
        looked(given.folder)


if __name__ == "__main__":
    main()
