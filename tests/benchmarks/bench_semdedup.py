"""Semantic duplicates beside SemDeDup's formulas as they stand: seconds, memory, and the same drops.

The reference is a straight line of them in torch (Abbas et al., "SemDeDup", 2023; written from the formulas): the
members of a cluster in order, all cosines among them as one n x n matrix, its upper triangle, the largest of each
column, dropped where that is above 1 - epsilon. It gives no partner; ours does. Each runs in a process of its own, with
the same threads; memory is the peak above what the process held with its embeddings read. Drops must be the same
wherever the cosine is not within 1e-5 of the bound: the two sum in another order.

    PYTHONPATH=. python tests/benchmarks/bench_semdedup.py --sizes 2000 10000 20000 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.clusters import semantic
from tests.benchmarks._table import Row, faster, show

EPSILON = 0.07
NEAR = 1e-5
COPIES = 0.3
Float32Array = npt.NDArray[np.float32]


def members(n: int, dimensions: int) -> Float32Array:
    """Unit vectors, three in ten of them an earlier one and noise: cosines from about .7 to 1."""
    generator = np.random.default_rng(n)
    made = generator.standard_normal((n, dimensions), dtype=np.float32)
    copied = np.flatnonzero(generator.random(n) < COPIES)[1:]
    origin = (generator.random(len(copied)) * copied).astype(np.int64)
    noise = generator.random((len(copied), 1), dtype=np.float32)
    made[copied] = made[origin] + noise * made[copied]
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def reference(ordered: Float32Array) -> Float32Array:
    """The largest cosine of each member to one before it: formulas, line by line."""
    import torch

    given = torch.from_numpy(ordered)
    cosines = given @ given.T
    before = torch.triu(cosines, diagonal=1)
    largest = before.max(dim=0).values
    return np.asarray(largest.numpy())


def ours(ordered: Float32Array, threads: int) -> Float32Array:
    """The same and the partners, by tiles."""
    return semantic.max_similarity(ordered, np.arange(len(ordered)), threads)[0]


@dataclass(frozen=True)
class Measured:
    """One round of one of them."""

    seconds: float
    processor: float
    memory: float
    """MB above the embeddings."""
    largest: Float32Array


def one(which: str, path: str, threads: int) -> Measured:
    """In this process, which has done nothing before; what is loaded once is loaded by a small set first."""
    import torch

    torch.set_num_threads(threads)
    ordered = np.load(path)

    def work(given: Float32Array) -> Float32Array:
        return reference(given) if which == "theirs" else ours(given, threads)

    work(ordered[:256])
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, used = time.perf_counter(), time.process_time()
    largest = work(ordered)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    above = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 1024
    return Measured(seconds, processor, above, largest)


def fresh(*given: Any) -> Measured:
    """``one``, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(one, *given).result()


def differing(mine: Float32Array, theirs: Float32Array) -> tuple[int, int]:
    """(dropped by both, dropped by one alone); those that lie on the bound are not counted among the second."""
    dropped = semantic.dropped(mine, EPSILON), semantic.dropped(theirs, EPSILON)
    clear = np.abs(theirs - (1 - EPSILON)) > NEAR
    return int((dropped[0] & dropped[1]).sum()), int(((dropped[0] != dropped[1]) & clear).sum())


def compare(n: int, dimensions: int, threads: int, rounds: int, folder: Path) -> list[Row]:
    """Both in turn, each round in fresh processes."""
    path = folder / f"{n}.npy"
    np.save(path, members(n, dimensions))
    found: dict[str, list[Measured]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            found[name].append(fresh(name, str(path), threads))
    both, alone = differing(found["ours"][0].largest, found["theirs"][0].largest)
    apart = float(np.abs(found["ours"][0].largest - found["theirs"][0].largest).max())
    print(
        f"{n:,}: {both:,} dropped by both, {alone} by one alone; M differs by {apart:.1e} at most"
    )
    assert not alone, "the two drop different members"
    what, beside = (
        f"semantic duplicates, {n:,} x {dimensions}, {threads} threads",
        "SemDeDup's formulas",
    )
    mine, theirs = found["ours"], found["theirs"]
    clock = [one.seconds for one in mine], [one.seconds for one in theirs]
    used = [one.processor for one in mine], [one.processor for one in theirs]
    memory, other = (statistics.median(one.memory for one in each) for each in (mine, theirs))
    share = memory / max(other, 1e-9)
    return [
        faster(what, beside, n, "members/s", *clock, goal="> 1"),
        faster(f"{what}, processor", beside, n, "members/CPU s", *used, goal="> 1"),
        Row(f"{what}, memory", beside, memory, other, "MB", share, goal="< 1"),
    ]


def main() -> None:
    """A table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 20_000])
    options.add_argument("--dimensions", type=int, default=512)
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-semdedup-") as name:
        for n in asked.sizes:
            rows += compare(n, asked.dimensions, asked.threads, asked.rounds, Path(name))
    show("semantic duplicates beside the formulas as they stand", rows)


if __name__ == "__main__":
    main()
