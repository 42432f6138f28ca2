"""Clusters and density-based pruning over generated embeddings: the time a sample, and the memory of every process.

Metadata in parquet and 512-d float16 embeddings beside it, 1 KB a sample, are generated into a temporary folder
(`--folder` says where; twice the embeddings' size is needed), and a real run does `embed` (precomputed) and
`density` with Ray; it is ended before the ledger. The goals: at ten million samples at most 1.3 times the cost a
sample at one million (in processor time, which other work on the machine changes little), every process under
3 GB of memory of its own (USS), the driver under 1 GB.

`--rows 1000000 10000000` measures both.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs import plan
from tamis.pipeline.runs import walk as run
from tamis.schemas.events import Event, PhaseEnded, StepEnded
from tamis.schemas.parse import parse_job

DIM = 512
FILE_ROWS = 100_000
CONCEPTS = 1000
GOAL = 1.3


class Enough(Exception):  # noqa: N818 - no error: the measured part is over
    """Density has ended; the rest of the run is not measured."""


class Watch(threading.Thread):
    """The largest USS of this process and of each kind of process below it, and their processor time, every second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak: dict[str, int] = defaultdict(int)
        self.spent: dict[int, float] = {}
        self.ended = threading.Event()

    @property
    def processor_seconds(self) -> float:
        """Of all processes, those that have ended too."""
        return sum(list(self.spent.values()))

    def run(self) -> None:
        """Look until ``ended``."""
        me = psutil.Process()
        while not self.ended.wait(1.0):
            for process in [me, *me.children(recursive=True)]:
                try:
                    name = "driver" if process == me else process.cmdline()[0].rpartition("/")[2]
                    used = process.memory_full_info().uss
                    times = process.cpu_times()
                except (psutil.Error, IndexError):
                    continue  # it has ended meanwhile
                self.peak[name] = max(self.peak[name], used)
                self.spent[process.pid] = times.user + times.system


def generate(folder: Path, rows: int) -> None:
    """Files of FILE_ROWS samples: points round CONCEPTS centres of different spread."""
    folder.mkdir()
    random = np.random.default_rng(1)
    centres = random.standard_normal((CONCEPTS, DIM), dtype=np.float32)
    spread = random.uniform(0.3, 1.5, CONCEPTS).astype(np.float32)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - start)
        concept = random.integers(0, CONCEPTS, count)
        vectors = random.standard_normal((count, DIM), dtype=np.float32)
        vectors = vectors * spread[concept, None] + centres[concept]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(folder / f"img_emb_{number:05d}.npy", vectors.astype(np.float16))
        names = [f"{start + i:032x}" for i in range(count)]
        table = pa.table({"uid": names, "text": ["a caption"] * count})
        pq.write_table(table, folder / f"{number:05d}.parquet", row_group_size=10_000)


def measure(folder: Path, rows: int) -> float:
    """Run it; print the phases of density and the memory; return the processor seconds a sample."""
    generate(folder / "in", rows)
    entry = {
        "path": f"{folder}/in/*.parquet",
        "image_embeddings": f"{folder}/in/img_emb_*.npy",
    }
    steps = "[{embed: {encoder: precomputed}}, {density: {clusters: 500, keep: 0.2778}}]"
    text = f"name: bench\ninput: [{json.dumps(entry)}]\noutput: {folder}/run\nsteps: {steps}\n"
    made = plan.make(parse_job(text, "bench"))
    seconds: dict[str, float] = {}
    spent: dict[str, float] = {}
    watch = Watch()

    def observe(event: Event) -> None:
        if isinstance(event, PhaseEnded):
            print(f"  {event.step}/{event.phase}: {event.seconds:,.1f} s", flush=True)
        if isinstance(event, StepEnded):
            seconds[event.step] = event.seconds
            spent[event.step] = watch.processor_seconds
            if event.step == "density":
                assert event.entered - sum(event.dropped.values()) == rows * 2778 // 10_000
                raise Enough

    watch.start()
    try:
        run.run(made, [observe])
    except Enough:
        watch.ended.set()
    cost = (spent["density"] - spent["embed"]) / rows
    print(
        f"{rows:,} samples: density {seconds['density']:,.1f} s, {seconds['density'] / rows * 1e6:.1f} us a sample"
    )
    print(f"  {cost * rows:,.0f} s of processor time, {cost * 1e6:.1f} us a sample")
    print(f"  before it: ingest {seconds['ingest']:,.1f} s, embed {seconds['embed']:,.1f} s")
    for name, peak in sorted(watch.peak.items(), key=lambda item: -item[1]):
        print(f"  {name}: at most {peak / 1e6:,.0f} MB")
    return cost


def main() -> None:
    """Measure each number of rows, and compare the costs with the first."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    options.add_argument("--folder", default=None)
    given = options.parse_args()
    first = 0.0
    for rows in given.rows:
        folder = Path(tempfile.mkdtemp(prefix="tamis-bench-", dir=given.folder))
        started = time.perf_counter()
        try:
            cost = measure(folder, rows)
        finally:
            shutil.rmtree(folder)
        first = first or cost
        print(f"  in all {time.perf_counter() - started:,.0f} s; cost a sample {cost / first:.2f}")
        if cost > GOAL * first:
            print(f"  above the goal of {GOAL}")


if __name__ == "__main__":
    main()
