"""The step `index` beside faiss's IndexIVFFlat over the same vectors: build, first answer, warm answers, recall.

    PYTHONPATH=. python -m tests.benchmarks.index FOLDER [--rows 1e6 --dim 512 --queries 100 --points 64]
    PYTHONPATH=. python -m tests.benchmarks.index FOLDER --rows 1e7 --icons RUN --held OTHER

Vectors are made: of 48 hidden numbers about 500 topics, turned into all dimensions, with noise; queries are made alike,
and the run does not have them. With --icons they are those of a finished run's pictures, turned, as many copies as fill
the rows, each with noise of its own; queries are pictures of another run by the same encoder. Recall is the share of
the ten nearest by all cosines. faiss has as many lists, trained on as many vectors for as many iterations, and holds
its own; where all would take more than 6 GB it is left out. Where `make peers` has installed autofaiss, which makes the
indices of clip-retrieval, it stands beside them.

Stopped at any moment, the same command goes on where it was: what is written stays, and the job resumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tamis.pipeline.audit.reading.costs import costs
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tests.benchmarks import _peers
from tests.benchmarks._vectors import Copies, Floats, Made, Vectors, blocks, nearest, write

NEAREST, ITERATIONS = 10, 10
RECALLS = (0.9, 0.95, 0.99)
FAISS_BYTES = 6_000_000_000
"""Bytes of float32 vectors above which faiss, which holds them all, is left out."""

FIRST = """
import sys, time
began = time.perf_counter()
from tamis.jobs.cli.app import main
try:
    main(["search", *sys.argv[1:]])
except SystemExit:
    pass
memory = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(time.perf_counter() - began, time.process_time(), memory, file=sys.stderr)
"""


@dataclass(frozen=True)
class Measured:
    """Mean recall, and the median milliseconds of wall and of processor time."""

    recall: float
    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.recall:8.3f}   {self.wall:9.2f}   {self.processor:9.2f}"


def measured(
    answer: Callable[[Floats], list[int]], queries: Floats, truth: Sequence[set[int]]
) -> Measured:
    """The answers to all queries, one after another."""
    recalls, wall, processor = [], [], []
    for query, wanted in zip(queries, truth, strict=True):
        began, busy = time.perf_counter(), time.process_time()
        found = answer(query)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
        recalls.append(len(wanted & set(found)) / NEAREST)
    times = (1e3 * statistics.median(some) for some in (wall, processor))
    return Measured(statistics.mean(recalls), *times)


def ours(run: FinishedRun, probes: int) -> Callable[[Floats], list[int]]:
    search = Search(Embedding(run), Asked(NEAREST, among="all", probes=probes))
    return lambda query: [int(row["uid"], 16) for row in search.find(Query(query, "v")).rows]


def built(given: argparse.Namespace, lists: int) -> Any:
    """faiss's index, one thread, trained on vectors spread over all; what it took is printed."""
    before, began, busy = held(), time.perf_counter(), time.process_time()
    folder, dim, rows = given.folder / "in", given.dim, int(given.rows)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.max_points_per_centroid = ITERATIONS, given.points
    every = max(1, rows // (lists * given.points))
    index.train(np.concatenate([some[::every] for some in blocks(folder)]))
    for some in blocks(folder):
        index.add(some)
    wall, processor = time.perf_counter() - began, time.process_time() - busy
    print(
        f"faiss: {wall:.0f} s, {processor:.0f} s of processors, {held() - before:.0f} MB in memory"
    )
    return index


def held() -> float:
    """Megabytes that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def asked_of(index: Any, query: Floats) -> list[int]:
    """The numbers that faiss finds."""
    found: list[int] = index.search(query[None], NEAREST)[1][0].tolist()
    return found


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
        len(wanted & set(found)) / NEAREST for wanted, found in zip(truth, answers, strict=True)
    )
    return (
        f"autofaiss: {spent['index']}, built in {spent['build']:.0f} s of processors, {spent['memory']:.0f} MB, "
        f"recall {recall:.3f}, {spent['ms']:.2f} ms a query"
    )


def searched_run(given: argparse.Namespace, vectors: Vectors) -> FinishedRun:
    """The job over the vectors, done or gone on with; what it took in processors, all calls together."""
    job = given.folder / "job.yaml"
    entry = write(vectors, int(given.rows), given.folder / "in")
    job.write_text(
        f"name: index\ninput: [{json.dumps(entry)}]\noutput: {given.folder}/run\nsteps:\n"
        f"- embed: {{encoder: precomputed}}\n"
        f"- index: {{points_per_centroid: {given.points}, iterations: {ITERATIONS}}}\n- write\n"
    )
    command = [sys.executable, "-m", "tamis.jobs", "run", str(job), "--local"]
    subprocess.run([*command, "--progress", "none"], check=True, stdout=subprocess.DEVNULL)
    run = open_run(str(given.folder / "run"))
    for step in costs(run.root).steps:
        if step.actual is not None:
            print(f"{step.step}: {step.actual.cpu_seconds:.0f} s of processors")
    return run


def first_answers(run: FinishedRun, query: Path) -> None:
    """What a new process takes until it has answered, twice."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", FIRST, run.root, "--vector", str(query), "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        wall, processor, memory = done.stderr.split()[-3:]
        print(
            f"first answer: {float(wall):.2f} s, {float(processor):.2f} s of processors, {int(memory) / 1024:.0f} MB"
        )


def main() -> None:
    """Print the build, the first answer, and a row for each number of probes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--icons", help="a finished run, whose vectors are taken")
    parser.add_argument("--held", help="another one, for the queries")
    given = parser.parse_args()
    if (given.icons is None) != (given.held is None):
        parser.error("--icons and --held belong together")
    faiss.omp_set_num_threads(1)
    vectors = Copies(given.icons, given.held, given.dim) if given.icons else Made(given.dim)
    run = searched_run(given, vectors)
    table = run.table("index", "recall", "recall")
    assert table is not None
    print(f"recall that the step measured: {json.dumps(table.to_pydict())}")
    lists = table["probes"].to_pylist()[-1]
    queries = vectors.queries(given.queries)
    truth = nearest(given.folder / "in", queries, NEAREST)
    np.save(given.folder / "query.npy", queries[0])
    first_answers(run, given.folder / "query.npy")
    index = None
    if given.rows * given.dim * 4 <= FAISS_BYTES:
        index = built(given, lists)
    print(f"{int(given.rows):,} vectors of {given.dim}, {lists} lists")
    print("probes     recall     wall ms   processor   faiss recall     wall ms   processor")
    own, other = {}, {}
    for probes in (1, 2, 4, 8, 16, 32, 64):
        own[probes] = measured(ours(run, probes), queries, truth)
        row = str(own[probes])
        if index is not None:
            index.nprobe = probes
            other[probes] = measured(partial(asked_of, index), queries, truth)
            row += f"   {other[probes]}"
        print(f"{probes:6}   {row}", flush=True)
    for recall in RECALLS:
        print(f"recall {recall}: {at_recall(own, recall)}; faiss {at_recall(other, recall)}")
    if index is not None:
        print(autofaiss(given.folder, queries, truth), flush=True)  # last, as it takes the longest


def at_recall(rows: Mapping[int, Measured], recall: float) -> str:
    """Queries a second of processor time with the fewest probes that reach a recall."""
    for probes, row in rows.items():
        if row.recall >= recall:
            return f"{1e3 / row.processor:.0f} queries a second with {probes} probes"
    return "not reached"


if __name__ == "__main__":
    main()
