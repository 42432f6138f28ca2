"""Coverage-centric selection (CCS): drop the very hardest, then cover every difficulty.

Zheng et al., "Coverage-centric coreset selection for high pruning rates", ICLR 2023, algorithm 1:
the beta share of the hardest is dropped, the range of the remaining scores is cut into strata of
equal width, and the budget is shared by visiting strata in ascending size.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import descending, finite, hashed, row_mask, smallest
from tamis.pipeline.algorithms.shares import rounded_down

STRATA = 50


def hardest(
    score: NDArray[np.floating],
    uid: NDArray[np.uint64],
    beta: float,
    hard: Literal["high", "low"] = "high",
) -> NDArray[np.bool_]:
    """Mark the `hardest_count` hardest samples, which CCS drops first: bool (n,).

    Args:
        score: (n,) finite; ties to the smaller uid.
        uid: uint64 (n, 2).
        beta: share of the samples, in [0, 1).
        hard: the hard end of the scores: high (EL2N, distance to a centroid) or low (AUM).

    Raises:
        ValueError: a beta outside [0, 1), another `hard`, or scores that are not finite.
    """
    if hard not in ("high", "low"):
        raise ValueError(f"hard is {hard!r}, and must be high or low")
    key = descending(score if hard == "high" else -score)
    return row_mask(smallest(key, uid, hardest_count(len(score), beta)), len(score))


def hardest_count(samples: int, beta: float) -> int:
    """Number of the hardest samples, which CCS drops first: the share `beta`, rounded down.

    Raises:
        ValueError: a beta outside [0, 1).
    """
    if not 0.0 <= beta < 1.0:
        raise ValueError(
            f"beta {beta} lies outside 0..1 (1 excluded): use 0 to drop none of the hardest"
        )
    return rounded_down(beta, samples)


def strata(
    score: NDArray[np.floating], low: float, high: float, count: int = STRATA
) -> NDArray[np.int64]:
    """Stratum of each score, one of `count` intervals of equal width in [low, high]: int64 (n,), from 0.

    An interval includes its lower edge, the last one both. Where low = high, all scores are in stratum 0.

    Raises:
        ValueError: scores that are not finite, or outside the range.
    """
    values = finite(score, "score")
    if values.size and not (low <= values.min() and values.max() <= high):
        raise ValueError(
            f"scores {values.min()}..{values.max()} leave the range {low}..{high}: widen the range"
        )
    if high == low:
        return np.zeros(len(values), np.int64)
    stratum = np.floor((values - low) / (high - low) * count).astype(np.int64)
    return np.minimum(stratum, count - 1)


def budgets(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Samples that each stratum keeps of its size: int64 (strata,), summing to `total`.

    Strata are visited by ascending size, equal sizes by number; each keeps min(size, rest // strata left).

    Raises:
        ValueError: a total outside 0..sum of the sizes.
    """
    if not 0 <= total <= sizes.sum():
        raise ValueError(
            f"a budget of {total:,} lies outside 0..{sizes.sum():,}, the samples left in the "
            "strata: keep fewer, or lower beta"
        )
    kept = np.zeros(len(sizes), np.int64)
    rest = total
    for visited, stratum in enumerate(np.argsort(sizes, kind="stable")):
        kept[stratum] = min(int(sizes[stratum]), rest // (len(sizes) - visited))
        rest -= int(kept[stratum])
    return kept


def select(
    score: NDArray[np.floating],
    uid: NDArray[np.uint64],
    count: int,
    seed: int,
    beta: float = 0.0,
    hard: Literal["high", "low"] = "high",
    intervals: int = STRATA,
) -> NDArray[np.bool_]:
    """Choose the coreset of `count` samples over `intervals` strata: bool (n,); other arguments as `hardest`.

    Inside a stratum the smallest hashes of seed and uid are taken: uniformly, and independently of the order of rows.

    Raises:
        ValueError: as `hardest`, or a count above the samples that beta leaves.
    """
    left = np.flatnonzero(~hardest(score, uid, beta, hard))
    values = finite(score[left], "score")
    if not left.size:
        return row_mask(smallest(values, uid[left], count), len(score))
    stratum = strata(values, float(values.min()), float(values.max()), intervals)
    budget = budgets(np.bincount(stratum, minlength=intervals).astype(np.int64), count)
    key = hashed(uid[left], seed, "coverage")
    mask = np.zeros(len(score), np.bool_)
    for number in np.flatnonzero(budget):
        rows = left[stratum == number]
        mask[rows[smallest(key[stratum == number], uid[rows], int(budget[number]))]] = True
    return mask
