"""The step `index` beside faiss's IndexIVFFlat over the same vectors: build, first answer, warm answers, recall.

    PYTHONPATH=. python -m tests.benchmarks.index FOLDER [--rows 1e6 --dim 512 --queries 100 --points 64]

Vectors are made: of 48 hidden numbers about 500 topics, turned into all dimensions, with noise. The step is run by a
job over them, in this process. Queries are made alike, and the run does not have them. Recall is the share of the ten
nearest by all cosines. faiss has as many lists, trained on as many vectors for as many iterations, and holds its own.
Where `make peers` has installed autofaiss, which makes the indices of clip-retrieval, it stands beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tests.benchmarks import _peers
from tests.support.running import make_plan, run_here

NEAREST, TOPICS, HIDDEN, FILE_ROWS, ITERATIONS = 10, 500, 48, 50_000, 10
SPREAD, NOISE = 1.0, 0.3
"""Lengths of what is drawn about a topic, of length 1, among the hidden numbers; and of the noise in all dimensions."""

Floats = npt.NDArray[np.float32]

FIRST = """
import sys, time
began = time.perf_counter()
from tamis.jobs.cli import main
try:
    main(["search", *sys.argv[1:]])
except SystemExit:
    pass
memory = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(time.perf_counter() - began, time.process_time(), memory, file=sys.stderr)
"""


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    found: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


class Made:
    """Vectors by their number: the same ones whoever asks."""

    def __init__(self, dim: int) -> None:
        draw = np.random.default_rng(0)
        self.dim = dim
        self.topics = unit(draw.standard_normal((TOPICS, HIDDEN)))
        self.axes = np.linalg.qr(draw.standard_normal((dim, HIDDEN)))[0].T.astype(np.float32)

    def rows(self, first: int, count: int) -> Floats:
        """``count`` vectors from a number on; which they are depends on both."""
        draw = np.random.default_rng([1, first, count])
        of = draw.integers(0, TOPICS, count)
        hidden = self.topics[of] + SPREAD * unit(draw.standard_normal((count, HIDDEN)))
        noise = NOISE * unit(draw.standard_normal((count, self.dim)))
        return unit(unit(hidden) @ self.axes + noise)


def write(made: Made, rows: int, folder: Path) -> dict[str, Any]:
    """Parquet files of names and captions, and the vectors as halves beside them; the job's input entry."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - first)
        if (
            folder / f"{number:05d}.parquet"
        ).exists():  # of an earlier call: the run is taken as it is
            continue
        names = [f"{first + n:032x}" for n in range(count)]
        np.save(folder / f"img_emb_{number:05d}.npy", made.rows(first, count).astype(np.float16))
        pq.write_table(pa.table({"uid": names, "text": names}), folder / f"{number:05d}.parquet")
    return {"path": f"{folder}/*.parquet", "image_embeddings": f"{folder}/img_emb_*.npy"}


def blocks(folder: Path) -> Iterator[Floats]:
    for path in sorted(folder.glob("img_emb_*.npy")):
        yield np.load(path).astype(np.float32)


def brute(folder: Path, queries: Floats) -> list[set[int]]:
    """The numbers of the ten nearest of each query."""
    value = np.empty((len(queries), 0), np.float32)
    number = np.empty((len(queries), 0), np.int64)
    first = 0
    for some in blocks(folder):
        rows = unit(some)
        value = np.concatenate([value, queries @ rows.T], axis=1)
        number = np.concatenate(
            [number, np.tile(np.arange(first, first + len(rows)), (len(queries), 1))], axis=1
        )
        best = np.argsort(-value, axis=1)[:, :NEAREST]
        value, number = np.take_along_axis(value, best, 1), np.take_along_axis(number, best, 1)
        first += len(rows)
    return [set(row) for row in number.tolist()]


def measured(
    answer: Callable[[Floats], list[int]], queries: Floats, truth: Sequence[set[int]]
) -> str:
    """Recall, and the median milliseconds of wall and of processor time."""
    recalls, wall, processor = [], [], []
    for query, nearest in zip(queries, truth, strict=True):
        began, busy = time.perf_counter(), time.process_time()
        found = answer(query)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
        recalls.append(len(nearest & set(found)) / NEAREST)
    times = (1e3 * statistics.median(some) for some in (wall, processor))
    return f"{statistics.mean(recalls):8.3f}" + "".join(f"   {one:9.2f}" for one in times)


def ours(run: FinishedRun, probes: int) -> Callable[[Floats], list[int]]:
    search = Search(Embedding(run), Asked(NEAREST, among="all", probes=probes))
    return lambda query: [int(row["uid"], 16) for row in search.find(Query(query, "v")).rows]


def theirs(folder: Path, lists: int, dim: int, points: int, rows: int) -> Any:
    """faiss, one thread, trained on vectors spread over all."""
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.max_points_per_centroid = ITERATIONS, points
    every = max(1, rows // (lists * points))
    index.train(np.concatenate([some[::every] for some in blocks(folder)]))
    for some in blocks(folder):
        index.add(some)
    return index


def autofaiss(folder: Path, queries: Floats, truth: Sequence[set[int]]) -> str:
    """What the maker of clip-retrieval's indices builds of the same vectors, with that program's bounds of memory."""
    python = _peers.interpreter("clip-retrieval")
    if python is None:
        return "autofaiss: not installed"
    only = folder / "vectors-alone"
    only.mkdir(exist_ok=True)
    for path in (folder / "in").glob("img_emb_*.npy"):
        (only / path.name).unlink(missing_ok=True)
        (only / path.name).symlink_to(path.resolve())
    np.save(folder / "queries.npy", queries)
    files = [only, folder / "queries.npy", folder / "answer.npy"]
    more = ["--nearest", NEAREST, "--memory", "4G", "--spent", folder / "spent.json"]
    _peers.theirs(python, "_peer_autofaiss.py", *files, *more)
    spent = json.loads((folder / "spent.json").read_text())
    answers = np.load(folder / "answer.npy").tolist()
    recall = statistics.mean(
        len(nearest & set(found)) / NEAREST for nearest, found in zip(truth, answers, strict=True)
    )
    return (
        f"autofaiss: {spent['index']}, built in {spent['build']:.0f} s of processors, {spent['memory']:.0f} MB, "
        f"recall {recall:.3f}, {spent['ms']:.2f} ms a query"
    )


def main() -> None:
    """Print the build, the first answer, and a row for each number of probes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--points", type=int, default=64)
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    rows, made = int(given.rows), Made(given.dim)
    folder = given.folder / "in"
    entry = write(made, rows, folder)
    steps = (
        "- embed: {encoder: precomputed}\n"
        f"- index: {{points_per_centroid: {given.points}, iterations: {ITERATIONS}}}\n- write"
    )
    began, busy = time.perf_counter(), time.process_time()
    run_here(make_plan(given.folder / "run", "", steps, input=[entry]))
    print(
        f"the job: {time.perf_counter() - began:.0f} s, {time.process_time() - busy:.0f} s of processors"
    )
    run = open_run(str(given.folder / "run"))
    table = run.table("index", "recall", "recall")
    assert table is not None
    print(f"recall that the step measured: {json.dumps(table.to_pydict())}")
    lists = table["probes"].to_pylist()[-1]
    queries = made.rows(rows, given.queries)
    truth = brute(folder, queries)
    np.save(given.folder / "query.npy", queries[0])
    asked = [run.root, "--vector", str(given.folder / "query.npy"), "--json"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", FIRST, *asked], capture_output=True, text=True, check=True
        )
        wall, processor, memory = done.stderr.split()[-3:]
        print(
            f"first answer: {float(wall):.2f} s, {float(processor):.2f} s of processors, {int(memory) / 1024:.0f} MB"
        )
    began, busy = time.perf_counter(), time.process_time()
    index = theirs(folder, lists, given.dim, given.points, rows)
    print(
        f"faiss: {time.perf_counter() - began:.0f} s, {time.process_time() - busy:.0f} s of processors"
    )
    print(autofaiss(given.folder, queries, truth), flush=True)
    print(f"{rows:,} vectors of {given.dim}, {lists} lists")
    print("probes     recall     wall ms   processor   faiss recall     wall ms   processor")
    for probes in (1, 4, 16, 64):
        index.nprobe = probes
        own = measured(ours(run, probes), queries, truth)
        other = measured(
            lambda query: index.search(query[None], NEAREST)[1][0].tolist(), queries, truth
        )
        print(f"{probes:6}   {own}   {other}", flush=True)


if __name__ == "__main__":
    main()
