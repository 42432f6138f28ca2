"""Quotas at web scale: seconds for 50,000 clusters and 5.8e9 samples (the goal is under 0.2)."""

import time

import numpy as np

from tamis.pipeline.algorithms.choosing import density

CLUSTERS, SAMPLES = 50_000, 5_800_000_000


def main() -> None:
    """Print the time of one call, and of the smallest budget that reaches a rank."""
    rng = np.random.default_rng(0)
    sizes = rng.multinomial(SAMPLES, rng.dirichlet(np.ones(CLUSTERS)))
    complexity = rng.random(CLUSTERS) * 0.3
    for share in (0.02, 0.4, 1.0):
        total = int(SAMPLES * share)
        start = time.perf_counter()
        quota = density.quotas(complexity, sizes, total)
        seconds = time.perf_counter() - start
        print(f"{CLUSTERS:,} clusters, {total:,} of {SAMPLES:,}: {seconds:.4f} s, {quota.sum():,}")
    start = time.perf_counter()
    found = density.smallest_total(complexity, sizes, 0, int(sizes[0]) // 2)
    print(f"smallest budget {found:,}: {time.perf_counter() - start:.4f} s")


if __name__ == "__main__":
    main()
