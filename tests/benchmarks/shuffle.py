"""Exact duplicates over our exchange, beside Ray Data's hash shuffle over the same keys, on Ray of this machine.

    PYTHONPATH=. python -m tests.benchmarks.shuffle --rows 1000000 10000000

A tenth of the rows repeat another one. Ours is the step `exact_duplicates` whole: it hashes URL and caption, sorts the
keys by bucket, and writes a verdict for every row. Ray Data gets less to do: the 16 bytes of each key are there, and it
writes the first row of every key. Each is measured by the processor seconds of all its processes, without Ray's start,
and by the largest of them; both have to find the same number of rows.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs import plan, walk
from tamis.schemas.parse import parse_job
from tests.benchmarks._table import Row, show
from tests.benchmarks.near_scale import Clock, Watch

FILE_ROWS = 250_000
REPEATED = 0.1
BUCKET_ROWS = 1_000_000

JOB = """
name: shuffle
input: [{{path: '{folder}/rows/*.parquet'}}]
output: {folder}/run
resources: {{cpus: {cpus}}}
steps:
  - exact_duplicates: {{on: url_text}}
"""


@dataclass(frozen=True)
class Cost:
    """What a way took: processor seconds, bytes of its largest process, and the distinct rows that it found."""

    seconds: float
    largest: int
    found: int


def write(folder: Path, rows: int) -> None:
    """Files of FILE_ROWS rows: of URLs and captions for us, of their keys and numbers for Ray Data."""
    for name in ("rows", "keys"):
        (folder / name).mkdir()
    draw = np.random.default_rng(0)
    for file, start in enumerate(range(0, rows, FILE_ROWS)):
        row = np.arange(start, min(start + FILE_ROWS, rows))
        repeats = draw.random(len(row)) < REPEATED
        named = np.where(repeats, (draw.random(len(row)) * row).astype(np.int64), row).tolist()
        urls = [f"https://example.org/{number}" for number in named]
        texts = [f"a picture of number {number}" for number in named]
        pairs = (f"{url} {text}".encode() for url, text in zip(urls, texts, strict=True))
        keys = [hashlib.blake2b(pair, digest_size=16).digest() for pair in pairs]
        name = f"{file:05d}.parquet"
        pq.write_table(pa.table({"url": urls, "text": texts}), folder / "rows" / name)
        table = pa.table({"key": pa.array(keys, pa.binary(16)), "row": row})
        pq.write_table(table, folder / "keys" / name)


def ours(folder: Path, rows: int, cpus: int) -> Cost:
    """The step, in a run of its own."""
    watch = Watch()
    clock = Clock(watch)
    watch.start()
    job = parse_job(JOB.format(folder=folder, cpus=cpus), "shuffle")
    done = walk.run(plan.make(job), (clock,))
    watch.stop()
    seconds = sum(used for name, used in clock.used.items() if name.startswith("exact_duplicates"))
    return Cost(seconds, max(watch.peak.values()), done.accounts[-1].kept)


def ray_data(folder: Path, rows: int, cpus: int) -> Cost:
    """Grouped by key with the hash shuffle, the least row of each written to parquet."""
    import ray
    from ray.data.aggregate import Min
    from ray.data.context import DataContext, ShuffleStrategy

    ray.init(num_cpus=cpus, include_dashboard=False, logging_level=logging.ERROR)
    context = DataContext.get_current()
    context.shuffle_strategy = ShuffleStrategy.HASH_SHUFFLE
    context.enable_progress_bars = False
    watch = Watch()
    watch.look()
    before = sum(watch.cpu.values())
    watch.start()
    keys = ray.data.read_parquet(str(folder / "keys"))
    groups = keys.groupby("key", num_partitions=-(-rows // BUCKET_ROWS)).aggregate(Min("row"))
    groups.write_parquet(str(folder / "first"))
    watch.look()
    watch.stop()
    found = sum(pq.read_metadata(path).num_rows for path in (folder / "first").glob("*.parquet"))
    return Cost(sum(watch.cpu.values()) - before, max(watch.peak.values()), found)


def in_a_process(way: Callable[[Path, int, int], Cost], folder: Path, rows: int, cpus: int) -> Cost:
    """A way, where nothing else has touched the memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(way, folder, rows, cpus).result()


def measure(rows: int, cpus: int, folder: Path) -> None:
    """Make the input, go both ways, print the figures.

    Raises:
        AssertionError: they found different numbers of rows.
    """
    write(folder, rows)
    mine, theirs = (in_a_process(way, folder, rows, cpus) for way in (ours, ray_data))
    assert mine.found == theirs.found, (mine, theirs)
    for name, cost in (("ours", mine), ("Ray Data", theirs)):
        print(
            f"  {name:9} {cost.seconds:8.1f} processor s  {cost.largest >> 20:6} MiB, the largest process"
        )
    rates = rows / mine.seconds, rows / theirs.seconds
    show(
        f"exact duplicates over {rows:,} rows, a processor second",
        [Row("step", "Ray Data's hash shuffle", *rates, "/s", rates[0] / rates[1])],
    )


def main() -> None:
    """Each number of rows in turn."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    options.add_argument("--cpus", type=int, default=2)
    options.add_argument("--folder", type=Path, help="on a disk with about 1 GB a million rows")
    given = options.parse_args()
    for rows in given.rows:
        folder = Path(tempfile.mkdtemp(prefix="tamis-shuffle-", dir=given.folder))
        try:
            measure(rows, given.cpus, folder)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
