"""What a part costs as a run has more of them: ``python -m tests.benchmarks.parts --parts 1000 10000``.

Metadata with embeddings, ROWS rows a part and PARTS parts a file, through rules, duplicates, semantic duplicates and
density, in this process; then the same once more with nothing to do.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs import plan, walk
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.parse import parse_job

ROWS = 4
PARTS = 250
DIM = 16

JOB = """
name: parts
input: [{path: "FOLDER/*.parquet", image_embeddings: "FOLDER/*.npy"}]
output: FOLDER/run
part_samples: 4
steps:
  - signals: [words, characters]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: url_text}
  - near_duplicates: {agree: none}
  - embed: {encoder: precomputed}
  - semantic_duplicates: {clusters: 20}
  - density: {clusters: 20, neighbours: 5, keep: 0.5}
  - write
"""


def write_input(folder: Path, parts: int) -> None:
    """Captions, addresses and embeddings, by a generator of fixed seed."""
    draw = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(5000)])
    for file in range((parts + PARTS - 1) // PARTS):
        count = ROWS * min(PARTS, parts - file * PARTS)
        captions = [" ".join(words[draw.integers(0, len(words), 8)]) for _ in range(count)]
        uids = [f"{file:08x}{row:024x}" for row in range(count)]
        urls = [f"https://example.org/{uid}" for uid in uids]
        table = pa.table({"uid": uids, "text": captions, "url": urls})
        pq.write_table(table, folder / f"{file:05d}.parquet")
        vectors = draw.standard_normal((count, DIM)).astype(np.float16)
        np.save(folder / f"{file:05d}.npy", vectors)


def measured(parts: int) -> dict[str, float]:
    """Processor seconds of the run and of one with nothing to do, and the largest memory of the process."""
    with tempfile.TemporaryDirectory(prefix="tamis-parts-") as name:
        folder = Path(name)
        write_input(folder, parts)
        job = parse_job(JOB.replace("FOLDER", name), "parts")
        seconds = []
        for _ in range(2):
            began = time.process_time()
            walk.run(plan.make(job), executor=Here(str(folder / "run")))
            seconds.append(time.process_time() - began)
        files = sum(1 for path in (folder / "run").rglob("*") if path.is_file())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "parts": parts,
        "milliseconds_a_part": round(1000 * seconds[0] / parts, 2),
        "nothing_to_do_seconds": round(seconds[1], 2),
        "files": files,
        "memory": memory,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=int, nargs="+", default=[1000, 10_000])
    for parts in parser.parse_args().parts:
        sys.stdout.write(json.dumps(measured(parts)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
