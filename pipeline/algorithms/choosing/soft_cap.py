"""Soft cap sampling without draws: how often each sample is taken, so that the counts together are exact.

"FLYT" (Shechter and Carmon, 2025) draws from softmax(score), and lowers a sample's score by a penalty r each time that
it is drawn. The mean field of that drawing has a closed form: a sample of score s is taken n = log(1 + r e^(s + K)) / r
times, with one K for all. Rounded with an offset u in (0, 1) of its own, a sample has its j-th copy as soon as
n >= j - u, which is when K reaches log((e^(r (j - u)) - 1) / r) - s: the key of that copy. The smallest keys over all
copies are then exactly as many as are asked for, and no K has to be searched.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def expected(score: Floats, level: float, penalty: float) -> Floats:
    """The times that each sample is taken, before rounding, float64 (n,): ``level`` is K."""
    times: Floats = np.logaddexp(0.0, score + level + np.log(penalty)) / penalty
    return times


def reached(copies: Floats, penalty: float) -> Floats:
    """The sum of score and K at which a sample is taken so often: the inverse of ``expected``; copies above 0."""
    strength = penalty * copies
    total: Floats = strength + np.log(-np.expm1(-strength)) - np.log(penalty)
    return total


def keys(score: Floats, offset: Floats, most: int, penalty: float) -> Floats:
    """Key of each copy, float64 (n, most), ascending in each row.

    Args:
        score: (n,), without NaN; infinite ones are the first, or the last.
        offset: (n,) in (0, 1), uniform and independent of the score.
        most: copies of a sample, at most.
        penalty: r, above 0.
    """
    copies = np.arange(1, most + 1) - offset[:, None]
    found: Floats = reached(copies, penalty) - score[:, None]
    return found


def ceiling(
    score: Floats, count: npt.NDArray[np.int64], total: int, most: int, penalty: float
) -> float:
    """A K at which at least ``total`` copies are taken, whatever the offsets: no larger key is among the smallest.

    Args:
        score: (bins,) no sample of a bin has a lower one.
        count: (bins,) samples in each.
        total: of copies that are wanted.
        most: copies of a sample, at most.
        penalty: r, above 0.
    """
    finite = np.isfinite(score)
    sure = int(count[np.isposinf(score)].sum()) * most
    if sure + int(count[finite].sum()) * most < total:
        return float("inf")
    low, high = (
        -1e6,
        float(reached(np.array([most + 2.0]), penalty)[0] - score[finite].min(initial=0.0)),
    )
    low = min(low, high)

    def taken(level: float) -> float:
        least = np.clip(expected(score[finite], level, penalty) - 1, 0, most)
        return sure + float(least @ count[finite])

    for _ in range(200):
        middle = (low + high) / 2
        if taken(middle) >= total:
            high = middle
        else:
            low = middle
    return high
