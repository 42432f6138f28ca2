"""Coverage-centric selection (CCS): drop the very hardest, then cover every difficulty.

Zheng et al., "Coverage-centric coreset selection for high pruning rates", ICLR 2023, algorithm 1:
the beta share of the hardest is dropped, the range of the remaining scores is cut into strata of
equal width, and the budget is shared by visiting strata in ascending size.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import chosen, descending, finite, hashed, smallest

STRATA = 50


def hardest(
    score: NDArray[np.floating],
    uid: NDArray[np.uint64],
    beta: float,
    hard: Literal["high", "low"] = "high",
) -> NDArray[np.bool_]:
    """The `hardest_count` hardest samples, which CCS drops first: bool (n,).

    Args:
        score: (n,) finite; ties to the smaller uid.
        uid: uint64 (n, 2).
        beta: share in [0, 1).
        hard: whether a high score means hard (EL2N, distance to a centroid) or a low one (AUM).
    """
    if hard not in ("high", "low"):
        msg = f"hard is {hard!r}, and must be high or low"
        raise ValueError(msg)
    key = descending(score if hard == "high" else -score)
    return chosen(smallest(key, uid, hardest_count(len(score), beta)), len(score))


def hardest_count(samples: int, beta: float) -> int:
    """How many of so many samples CCS drops first: the share `beta`, rounded down.

    Raises:
        ValueError: for a beta outside [0, 1).
    """
    if not 0.0 <= beta < 1.0:
        msg = f"beta {beta} lies outside 0..1 (1 excluded): it is the share of the hardest to drop"
        raise ValueError(msg)
    return int(samples * beta)


def strata(
    score: NDArray[np.floating], low: float, high: float, count: int = STRATA
) -> NDArray[np.int64]:
    """Which of `count` equal-width intervals of [low, high] holds each score: int64 (n,), 0-based.

    An interval has its lower edge; the last has both. All are in stratum 0 where low = high.
    """
    values = finite(score, "score")
    if values.size and not (low <= values.min() and values.max() <= high):
        msg = f"scores {values.min()}..{values.max()} leave the range {low}..{high} of the strata"
        raise ValueError(msg)
    if high == low:
        return np.zeros(len(values), np.int64)
    place = np.floor((values - low) / (high - low) * count).astype(np.int64)
    return np.minimum(place, count - 1)


def budgets(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """How many each stratum keeps: int64, by ascending size min(size, rest // strata left).

    Equal sizes are visited by stratum number. The budgets sum to `total`.

    Raises:
        ValueError: for a total outside 0..sum of the sizes.
    """
    if not 0 <= total <= sizes.sum():
        msg = (
            f"a budget of {total:,} lies outside 0..{sizes.sum():,}, the samples left in the "
            "strata: keep fewer, or lower beta"
        )
        raise ValueError(msg)
    given = np.zeros(len(sizes), np.int64)
    rest = total
    for visited, stratum in enumerate(np.argsort(sizes, kind="stable")):
        given[stratum] = min(int(sizes[stratum]), rest // (len(sizes) - visited))
        rest -= int(given[stratum])
    return given


def select(
    score: NDArray[np.floating],
    uid: NDArray[np.uint64],
    count: int,
    seed: int,
    beta: float = 0.0,
    hard: Literal["high", "low"] = "high",
    intervals: int = STRATA,
) -> NDArray[np.bool_]:
    """The coreset of `count` samples: bool (n,); arguments as `hardest`; `intervals` is the number of strata.

    Inside a stratum the smallest hashes of seed and uid are taken, which is uniform and does not
    depend on the order of rows.

    Raises:
        ValueError: for a count above what is left after beta, or scores that are not finite.
    """
    left = np.flatnonzero(~hardest(score, uid, beta, hard))
    values = finite(score[left], "score")
    if not left.size:
        return chosen(smallest(values, uid[left], count), len(score))
    stratum = strata(values, float(values.min()), float(values.max()), intervals)
    budget = budgets(np.bincount(stratum, minlength=intervals).astype(np.int64), count)
    key = hashed(uid[left], seed, "coverage")
    mask = np.zeros(len(score), np.bool_)
    for number in np.flatnonzero(budget):
        rows = left[stratum == number]
        mask[rows[smallest(key[stratum == number], uid[rows], int(budget[number]))]] = True
    return mask
