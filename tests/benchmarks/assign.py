"""Assignment against bare faiss: the same vectors, the same centroids, the same threads.

Prints vectors per second of both and their ratio (the goal is at least 0.9 for float32), and for
float16 embeddings, which bare faiss does not take, the rate alone.
"""

import argparse
import time
from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.algorithms import kmeans


def main() -> None:
    """Measure both, alternating, and print the best of the repetitions."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--dimensions", type=int, default=512)
    options.add_argument("--clusters", type=int, default=500)
    options.add_argument("--repetitions", type=int, default=5)
    given = options.parse_args()
    rows = _unit(given.rows, given.dimensions, seed=1)
    centroids = _unit(given.clusters, given.dimensions, seed=2)
    half = rows.astype(np.float16)
    index = faiss.IndexFlatIP(given.dimensions)
    index.add(centroids)
    for threads in (1, 2):
        faiss.omp_set_num_threads(threads)
        bare, ours, ours_half = _best(
            [
                lambda: index.search(rows, 1),
                lambda: kmeans.assign(rows, centroids, threads),  # noqa: B023 - called at once
                lambda: kmeans.assign(half, centroids, threads),  # noqa: B023 - called at once
            ],
            given.repetitions,
        )
        print(
            f"{given.rows:,} x {given.dimensions} to {given.clusters}, {threads} threads: "
            f"faiss {given.rows / bare:,.0f}/s, assign {given.rows / ours:,.0f}/s "
            f"(ratio {bare / ours:.3f}), float16 {given.rows / ours_half:,.0f}/s "
            f"(ratio {bare / ours_half:.3f})"
        )


def _best(calls: list[Callable[[], object]], repetitions: int) -> list[float]:
    best = [float("inf")] * len(calls)
    for _ in range(repetitions):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def _unit(rows: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((rows, dimensions), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


if __name__ == "__main__":
    main()
