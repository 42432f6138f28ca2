"""What choosing for a purpose costs: rows of 64 numbers a second of processor time, and the memory that is added.

    PYTHONPATH=. python -m tests.benchmarks.purpose [--rows 10000000 --held 1000 --only NAME]

Each work goes through the rows in parts of 10,000, as tasks do, and holds what a worker holds beside them: 1,000 target
vectors, centroids, references or listed vectors, 1,000,000 listed keys, 100,000 listed pictures or
groups. Memory is what the process holds at most beyond its size before the work. Works that compare with every held
vector see a tenth of the rows or less: their time is in proportion to the rows, and their memory does not depend on
them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch  # so that its size is not counted as that of a work

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import frechet as frechet_search
from tamis.pipeline.algorithms.choosing import group_quotas, soft_cap, target
from tamis.pipeline.algorithms.choosing.difficulty import References
from tamis.pipeline.algorithms.choosing.influence import Influence, direction
from tamis.pipeline.algorithms.choosing.learned import learn
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.algorithms.exclusion import members, near_hashes

PART, DIM, HELD = 10_000, 64, 1_000
KEYS, HASHES, GROUPS = 1_000_000, 100_000, 100_000
LAYOUT_BYTES = 162

Words = npt.NDArray[np.uint64]


def resident(field: str = "VmRSS") -> int:
    """Bytes that this process holds, or with "VmHWM" the most since ``forget``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"{field} is not told here: run this on Linux")


def forget() -> None:
    """Begin to measure the most anew."""
    Path("/proc/self/clear_refs").write_text("5")


def unit(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Rows of length 1."""
    made: npt.NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        "f4"
    )
    return made


class Rows:
    """Parts of generated rows: vectors are turned from part to part, uids are new."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self._vectors = unit(draw.standard_normal((PART, DIM))).astype(np.float16)
        self._other = unit(draw.standard_normal((PART, DIM))).astype(np.float16)

    def pairs(self, part: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
        """Pictures and captions, (PART, DIM) each."""
        return self._vectors, np.roll(self._other, part, axis=0)

    def uid(self, part: int) -> Words:
        """(PART, 2)."""
        draw = np.random.default_rng(part)
        return draw.integers(0, 2**64, (PART, 2), np.uint64)


Work = Callable[[int], object]


def held(draw: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """The vectors that a worker holds."""
    return unit(draw.standard_normal((count, DIM)))


Works = dict[str, tuple[Callable[[], Work], float]]
"""Name -> what makes the work of one part, with all that a worker holds for it; and the share of the rows."""


def works(rows: Rows, count: int = HELD) -> Works:
    """All works, with so many vectors held."""
    draw = np.random.default_rng(1)
    return {**by_target(rows, draw, count), **others(rows, draw, count)}


def by_target(rows: Rows, draw: np.random.Generator, count: int) -> Works:
    """The measures of `target`."""

    def nearest() -> Work:
        listed = kmeans.Centroids(held(draw, count))
        return lambda part: target.nearest(rows.pairs(part)[1], listed)

    def moment() -> Work:
        second = target.second_moment([held(draw, count)])
        return lambda part: target.moment(rows.pairs(part)[1], second)

    def concepts() -> Work:
        centroids = kmeans.Centroids(held(draw, count))
        votes = target.votes([held(draw, count)], centroids)
        return lambda part: votes[centroids.assign(rows.pairs(part)[1])[0]]

    def frechet() -> Work:
        centroids = kmeans.Centroids(held(draw, count))
        along = frechet_search.directions(target.second_moment([held(draw, count)]), DIM)
        moments = [np.zeros((count, *each), np.int64) for each in ((), (DIM,), (DIM, DIM))]

        def work(part: int) -> npt.NDArray[np.integer]:
            some = rows.pairs(part)[1]
            concept = centroids.assign(some)[0]
            frechet_search.add(frechet_search.projected(some, along), concept, *moments)
            return concept

        return work

    def influence() -> Work:
        known = held(draw, count).astype(np.float16), held(draw, count).astype(np.float16)
        learned = learn(*known, 40, 0, 0)
        along = direction(learned, known, (known[0][:100], known[1][:100]))
        measure, none = Influence(learned.pair(), along, *known), np.full(PART, -1)
        return lambda part: measure(*rows.pairs(part), none)

    return {
        "target: nearest, and exclude: embedding": (nearest, 0.1),
        "target: moment": (moment, 1.0),
        "target: concepts": (concepts, 0.1),
        "target: frechet, its moments": (frechet, 0.1),
        "target: influence, one pair of heads": (influence, 0.02),
    }


def others(rows: Rows, draw: np.random.Generator, count: int) -> Works:
    """Of the other steps."""

    def difficulty() -> Work:
        references = References(
            held(draw, count).astype(np.float16), held(draw, count).astype(np.float16)
        )
        none = np.full(PART, -1)
        return lambda part: references.difficulty(*rows.pairs(part), none, "cliploss", 0.05)

    def listed_keys() -> Work:
        words = np.sort(draw.integers(0, 2**64, KEYS, np.uint64).astype(">u8"))
        raw = np.stack([words, words], axis=1).tobytes()
        keys = np.sort(members.keys(raw))
        return lambda part: members.positions(keys, members.keys(rows.uid(part).tobytes()))

    def listed_pictures() -> Work:
        cells = draw.integers(0, 256, (HASHES, LAYOUT_BYTES), np.uint8)
        listed = near_hashes.Nearest(draw.integers(0, 2**64, HASHES, np.uint64), cells, 4, 8.0)
        return lambda part: listed.find(rows.uid(part)[:, 0], cells[:PART])[0]

    def repeat() -> Work:
        score = draw.standard_normal(PART)
        return lambda part: soft_cap.keys(
            score, order.uniform(order.hashed(rows.uid(part), 0, "repeat")), 15, 0.15
        )

    def tiers() -> Work:
        value = draw.standard_normal(PART)
        return lambda part: np.searchsorted([-1.0, 1.0], value + part, side="right")

    return {
        "difficulty: cliploss": (difficulty, 0.1),
        "exclude: keys": (listed_keys, 1.0),
        "exclude: phash": (listed_pictures, 0.1),
        "repeat: keys": (repeat, 1.0),
        "tiers": (tiers, 1.0),
    }


def measured(make: Callable[[], Work], parts: int) -> tuple[float, float]:
    """Rows a second of processor time, and megabytes."""
    forget()
    before = resident()
    work = make()
    began = time.process_time()
    for part in range(parts):
        work(part)
    seconds = time.process_time() - began
    return parts * PART / seconds, (resident("VmHWM") - before) / 1e6


def groups(rows: int) -> tuple[float, float]:
    """Seconds of one solution of the quotas of so many rows in GROUPS groups, and megabytes."""
    forget()
    before = resident()
    draw = np.random.default_rng(2)
    sizes = draw.multinomial(rows, draw.dirichlet(np.ones(GROUPS)))
    began = time.process_time()
    quota = group_quotas.quotas(np.sqrt(sizes), sizes, rows // 3)
    seconds = time.process_time() - began
    if int(quota.sum()) != rows // 3:
        raise ValueError(f"the quotas are {int(quota.sum()):,} together, not {rows // 3:,}")
    return seconds, (resident("VmHWM") - before) / 1e6


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", default="", help="works whose names have this in them")
    parser.add_argument("--held", type=int, default=HELD, help="vectors that a worker holds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':42}{'rows':>12}{'rows/s':>12}{'MB':>8}")
    for name, (make, share) in works(Rows(), args.held).items():
        if args.only not in name:
            continue
        parts = max(1, int(args.rows * share) // PART)
        rate, memory = measured(make, parts)
        print(f"{name:42}{parts * PART:>12,}{rate:>12,.0f}{memory:>8.0f}", flush=True)
    for rows in (args.rows, 5_850_000_000):
        seconds, memory = groups(rows)
        print(
            f"{f'quotas of {GROUPS:,} groups':42}{rows:>12,}{f'{seconds:.3f} s':>12}{memory:>8.0f}"
        )


if __name__ == "__main__":
    main()
