"""Assignment against bare faiss: the same vectors, the same centroids, the same threads.

float16 embeddings, which are what runs store and bare faiss does not take, stand beside its float32. By the clock.

    PYTHONPATH=. python tests/benchmarks/assign.py --rows 200000
"""

import argparse
import time

import faiss
import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.clusters import kmeans
from tests.benchmarks._table import Row, faster, race, show


def main() -> None:
    """One table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--dimensions", type=int, default=512)
    options.add_argument("--clusters", type=int, default=500)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rows = _unit(given.rows, given.dimensions, seed=1)
    centroids = _unit(given.clusters, given.dimensions, seed=2)
    half = rows.astype(np.float16)
    index = faiss.IndexFlatIP(given.dimensions)
    index.add(centroids)
    made: list[Row] = []
    for threads in (1, 2):
        faiss.omp_set_num_threads(threads)
        works = {
            "faiss": lambda: index.search(rows, 1),
            "float32": lambda: kmeans.assign(rows, centroids, threads),  # noqa: B023 - called at once
            "float16": lambda: kmeans.assign(half, centroids, threads),  # noqa: B023 - called at once
        }
        seconds = race(works, given.rounds, time.perf_counter)
        for kind in ("float32", "float16"):
            what = f"{kind}, {threads} threads"
            made.append(
                faster(
                    what, "faiss", len(rows), "rows/s", seconds[kind], seconds["faiss"], ">= 0.9"
                )
            )
    show(f"assignment, {len(rows):,} x {given.dimensions} to {given.clusters} centroids", made)


def _unit(rows: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((rows, dimensions), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


if __name__ == "__main__":
    main()
