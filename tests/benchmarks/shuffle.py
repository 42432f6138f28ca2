"""The exchange on storage beside Ray Data's own hash shuffle: ``python -m tests.benchmarks.shuffle --rows 1000000``.

The same rows, keys and choice: of rows with the same URL and caption the one with the smallest uid stays. Ours are the
phases ``keys`` and ``groups`` of exact_duplicates, on local workers. Ray Data reads the same files, hashes the same
columns, shuffles by the key, and writes who falls. Processor seconds and memory are those of this process and all below
it; Ray's own start is left out of the seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs import executors, plan, walk
from tamis.pipeline.steps.duplicates.exact.step import _key, _ordered
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.schemas.parse import parse_job
from tests.benchmarks.near_scale import Clock, Watch

FILE_ROWS = 250_000
CPUS = 2
BLOCKS = 8
"""Blocks that Ray Data shuffles into, at least: as many are at work as there are processors."""

JOB = """
name: shuffle
input: [{{path: '{folder}/*.parquet'}}]
output: {folder}/run
resources: {{cpus: {cpus}}}
steps:
  - exact_duplicates: {{on: url_text}}
"""


def write(folder: Path, rows: int) -> None:
    """Files of metadata; about a tenth of the rows repeat the URL and the caption of another."""
    draw = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        own = np.arange(start, min(start + FILE_ROWS, rows))
        of = np.where(draw.random(len(own)) < 0.1, draw.integers(0, rows, len(own)), own)
        table = pa.table(
            {
                "uid": [f"{row:032x}" for row in own.tolist()],
                "url": [f"https://example.org/{row}.jpg" for row in of.tolist()],
                "text": [f"a picture of the thing number {row}" for row in of.tolist()],
            }
        )
        pq.write_table(table, folder / f"{number:05d}.parquet")


def ours(folder: str) -> dict[str, float]:
    """Seconds, memory and drops of the two phases."""
    watch = Watch()
    clock = Clock(watch)
    watch.start()
    made = plan.make(parse_job(JOB.format(folder=folder, cpus=CPUS), "shuffle"))
    walk.run(made, (clock,), executors.of(made, local=True))
    watch.stop()
    files = Path(folder, "run/tables/exact_duplicates/groups").glob("bucket-*.parquet")
    return {
        "processor_seconds": clock.used["exact_duplicates/keys"]
        + clock.used["exact_duplicates/groups"],
        "largest_process_bytes": max(watch.peak.values()),
        "all_processes_bytes": sum(watch.peak.values()),
        "dropped": sum(pq.read_metadata(path).num_rows for path in files),
    }


def keyed(batch: pa.Table) -> pa.Table:
    """The rows with their key."""
    rows = zip(batch["url"].to_pylist(), batch["text"].to_pylist(), strict=True)
    uid = [bytes.fromhex(one) for one in batch["uid"].to_pylist()]
    return pa.table(
        {
            "key": pa.array([_key(row) for row in rows], pa.binary(16)),
            "uid": pa.array(uid, pa.binary(16)),
            "preference": np.zeros(len(batch)),
        }
    )


def falling(batch: pa.Table) -> pa.Table:
    """The rows of whole keys that fall."""
    if not len(batch):
        return batch
    batch = batch.combine_chunks()
    order, first = _ordered(batch)
    return batch.take(pa.array(order[~first]))


def rays(folder: str) -> dict[str, float]:
    """The same of Ray Data."""
    import ray
    import ray.data
    from ray.data.context import DataContext, ShuffleStrategy

    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    DataContext.get_current().shuffle_strategy = ShuffleStrategy.HASH_SHUFFLE
    DataContext.get_current().enable_progress_bars = False
    watch = Watch()
    watch.look()
    before = sum(watch.cpu.values())
    watch.start()
    names = [str(path) for path in sorted(Path(folder).glob("*.parquet"))]
    rows = sum(pq.read_metadata(name).num_rows for name in names)
    out = Path(folder, "ray")
    data: Any = ray.data.read_parquet(names, columns=["uid", "url", "text"])
    data = data.map_batches(keyed, batch_format="pyarrow")
    data = data.repartition(max(BLOCKS, buckets_for(rows)), keys=["key"])
    data = data.map_batches(falling, batch_format="pyarrow", batch_size=None)
    data.write_parquet(str(out))
    watch.stop()
    watch.look()
    used = sum(watch.cpu.values()) - before
    ray.shutdown()
    return {
        "processor_seconds": used,
        "largest_process_bytes": max(watch.peak.values()),
        "all_processes_bytes": sum(watch.peak.values()),
        "dropped": sum(pq.read_metadata(path).num_rows for path in out.glob("*.parquet")),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--folder", type=Path, help="on a disk with about 200 bytes a row")
    given = parser.parse_args()
    for rows in given.rows:
        folder = tempfile.mkdtemp(prefix="tamis-shuffle-", dir=given.folder)
        write(Path(folder), rows)
        for name, way in (("exchange on storage", ours), ("Ray Data, hash shuffle", rays)):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # fresh memory
                found = pool.submit(way, folder).result()
            sys.stdout.write(json.dumps({"rows": rows, "way": name, **found}) + "\n")
            sys.stdout.flush()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
