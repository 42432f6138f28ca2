"""GFLOP/s of SemDeDup's similarities beside faiss's exact search, at the same sizes and threads.

Both are timed in turn, by the clock. A rate is of the products that each performs: all n x n of
faiss, of ours a little more than half, since the other half is never needed. The second row counts
what both are for, members a second.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator

import faiss
import numpy as np

from tamis.pipeline.algorithms.clusters import semantic, tiles
from tests.benchmarks._table import Row, faster, race, show


def timed(run: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def performed(n: int, dimensions: int) -> float:
    """FLOP of the tiles that are computed, padding and diagonal included."""
    side = tiles.side(n)
    rows = -(-n // side)
    return rows * (rows + 1) / 2 * side**2 * 2.0 * dimensions


def compare(n: int, dimensions: int, threads: int, rounds: int) -> Iterator[Row]:
    """Both over one cluster."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((n, dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = generator.permutation(n)
    index = faiss.IndexFlatIP(dimensions)
    index.add(vectors)
    faiss.omp_set_num_threads(threads)
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: semantic.max_similarity(vectors, order, threads),
        "theirs": lambda: index.search(vectors, 2),
    }
    seconds = race(works, rounds, time.perf_counter)
    what, beside = f"{n:,} x {dimensions}, {threads} threads", "IndexFlatIP.search"
    mine, full = performed(n, dimensions), 2.0 * n * n * dimensions
    # What theirs would take for as many products as ours performs.
    theirs = [one * mine / full for one in seconds["theirs"]]
    yield faster(what, beside, mine / 1e9, "GFLOP/s", seconds["ours"], theirs, ">= .85")
    yield faster(what, beside, n, "members/s", seconds["ours"], seconds["theirs"], "> 1")


def memory(n: int, dimensions: int, threads: int, places: int) -> Row:
    """Print the peak resident memory above the data for the last `places` of a large cluster."""
    generator = np.random.default_rng(0)
    vectors = np.empty((n, dimensions), dtype=np.float16)
    for start in range(0, n, 10_000):
        block = generator.standard_normal((min(10_000, n - start), dimensions), dtype=np.float32)
        vectors[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = (n - places) // tiles.piece(n) * tiles.piece(n)
    blocks = semantic.max_similarity_blocks(
        lambda start, stop: vectors[start:stop], n, dimensions, threads, start=first
    )
    seconds = timed(lambda: list(blocks))
    above = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"  {n:,} x {dimensions}, the last {n - first:,} members: {seconds:.1f} s, "
        f"peak {above:.0f} MB above the data"
    )
    what = f"peak memory above {n:,} x {dimensions} in one cluster"
    return Row(what, "", above, None, "MB", None, goal="< 1,000")


def main() -> None:
    """Print a line a size, and the memory of a large cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 50_000])
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--large", type=int, default=200_000, help="members of the large cluster")
    parser.add_argument("--places", type=int, default=8_192, help="of which so many are computed")
    arguments = parser.parse_args()
    most = max(arguments.threads)
    rows = [memory(arguments.large, arguments.dimensions, most, arguments.places)]
    for n in arguments.sizes:
        for threads in arguments.threads:
            rounds = max(3, min(20, 40_000 // n))
            rows += compare(n, arguments.dimensions, threads, rounds)
    show("semantic duplicates of one cluster", rows)


if __name__ == "__main__":
    main()
