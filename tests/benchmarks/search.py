"""Recall of a search by the concepts that it reads, beside faiss on the same vectors in the same lists.

    PYTHONPATH=. python -m tests.benchmarks.search RUN [--clusters 64 --queries 200]

RUN is a finished run whose pictures and captions are embedded. Its vectors are exported, and clustered anew by a job
over them. Queries are vectors of its own samples, spread over the run: of pictures, where the sample itself does not
count, and of captions. Recall is the share of the ten nearest pictures, by all cosines, that are found.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tamis.pipeline.audit.export.export import export
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import SIDES, Embedding, Side
from tests.support.running import ledger, make_plan, run_here

NEAREST = 10

Answer = Callable[[Query], list[int]]
"""Function from a query to the sids that it finds."""


@dataclass(frozen=True)
class Measured:
    """Mean recall, and the median milliseconds of processor time a query."""

    recall: float
    milliseconds: float


def clustered(run: FinishedRun, folder: Path, clusters: int) -> FinishedRun:
    """A run over the vectors of another, with so many concepts."""
    export(run, "datacomp", str(folder / "vectors"), "all", None)
    image, *text = np.load(next((folder / "vectors").glob("*.npz"))).files
    entry: dict[str, Any] = {"path": f"{folder}/vectors/*.parquet", "features": True}
    entry |= {"image_feature": image, "text_feature": text[0]}
    steps = (
        "- embed: {encoder: precomputed}\n"
        f"- semantic_duplicates: {{clusters: {clusters}, epsilon: 1e-6}}\n- write"
    )
    run_here(make_plan(folder / "run", "", steps, input=[entry]))
    return open_run(str(folder / "run"))


def queries(embedding: Embedding, side: Side, count: int) -> list[Query]:
    """Vectors of samples that lie evenly over the run; a picture is not among its own neighbours."""
    sids = [row["sid"] for row in ledger(Path(embedding.run.root))]
    found = []
    for position in np.linspace(0, len(sids) - 1, count).round().astype(int).tolist():
        vector = embedding.vector(sids[position], side)
        if vector is not None:
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            found.append(Query(unit, "a sample", sids[position] if side == "image" else None))
    return found


def ours(embedding: Embedding, probes: int) -> Answer:
    """The search, of all samples."""
    search = Search(embedding, Asked(NEAREST, among="all", probes=probes))
    return lambda query: [row["sid"] for row in search.find(query).rows]


def theirs(index: Any, probes: int) -> Answer:
    """faiss over the exported index."""
    index.nprobe = probes

    def answer(query: Query) -> list[int]:
        sids = index.search(query.vector[None], NEAREST + 1)[1][0].tolist()
        return [sid for sid in sids if sid != query.sid][:NEAREST]

    return answer


def measure(answer: Answer, asked: Sequence[Query], truth: Sequence[set[int]]) -> Measured:
    """Recall and time over all queries."""
    recalls, seconds = [], []
    for query, nearest in zip(asked, truth, strict=True):
        began = time.process_time()
        found = answer(query)
        seconds.append(time.process_time() - began)
        recalls.append(len(nearest & set(found)) / len(nearest))
    return Measured(statistics.mean(recalls), 1e3 * statistics.median(seconds))


def main() -> None:
    """Print a row for each number of concepts that are read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--clusters", type=int, default=64)
    parser.add_argument("--queries", type=int, default=200)
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = clustered(open_run(given.run), Path(folder), given.clusters)
        export(run, "faiss", f"{folder}/index", "all", None)
        index = faiss.read_index(f"{folder}/index/image_0.index")
        embedding = Embedding(run)
        asked: dict[Side, list[Query]] = {
            side: queries(embedding, side, given.queries) for side in SIDES
        }
        every = ours(embedding, given.clusters)
        truth = {side: [set(every(query)) for query in some] for side, some in asked.items()}
        print(f"{embedding.usable:,} vectors of {embedding.dim}, {given.clusters} concepts")
        print(
            "probes   compared   pictures   captions   faiss: pictures   captions      ms   faiss ms"
        )
        probes = 1
        while probes <= given.clusters:
            show(embedding, index, probes, asked, truth)
            probes *= 2


def show(
    embedding: Embedding,
    index: Any,
    probes: int,
    asked: dict[Side, list[Query]],
    truth: dict[Side, list[set[int]]],
) -> None:
    """Measure and print one row."""
    search = Search(embedding, Asked(NEAREST, among="all", probes=probes))
    compared = [search.find(query).searched for query in asked["image"]]
    share = statistics.mean(compared) / embedding.usable
    own = {side: measure(ours(embedding, probes), asked[side], truth[side]) for side in SIDES}
    other = {side: measure(theirs(index, probes), asked[side], truth[side]) for side in SIDES}
    print(
        f"{probes:6}   {100 * share:7.1f}%   {own['image'].recall:8.3f}   {own['text'].recall:8.3f}   "
        f"{other['image'].recall:15.3f}   {other['text'].recall:8.3f}   "
        f"{own['image'].milliseconds:5.1f}   {other['image'].milliseconds:8.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
