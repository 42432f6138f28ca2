"""Separation of two groups by scores: the area under the ROC curve (AUC), with an interval.

The AUC is the probability that a sample of the first group has the higher score than one of the second; equal scores
count half. Its variance is that of DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
receiver operating characteristic curves" (Biometrics, 1988).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.959963984540054
"""Standard deviations on either side of the mean that hold 95% of a normal distribution."""


class Auc(NamedTuple):
    """An AUC with its 95% interval, all in [0, 1]."""

    value: float
    low: float
    high: float


def auc(first: NDArray[np.floating], second: NDArray[np.floating]) -> Auc:
    """The AUC of two groups' scores, (m,) and (n,), without NaN.

    Raises:
        ValueError: a group is empty.
    """
    if not len(first) or not len(second):
        raise ValueError(f"{len(first):,} and {len(second):,} scores: both groups need one")
    above = _shares_below(first, second)  # of each in `first`: the share of `second` below it
    below = 1 - _shares_below(second, first)
    value = float(above.mean())
    variance = _variance_of_mean(above) + _variance_of_mean(below)
    reach = NORMAL_95 * float(np.sqrt(variance))
    return Auc(value, max(0.0, value - reach), min(1.0, value + reach))


def _shares_below(
    scores: NDArray[np.floating], others: NDArray[np.floating]
) -> NDArray[np.float64]:
    """For each score the share of the others that are smaller, equal ones counted half: float64."""
    ranked = np.sort(others)
    smaller, up_to = (np.searchsorted(ranked, scores, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (smaller + up_to) / (2 * len(others))
    return shares


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    """The variance of the mean of numbers in [0, 1]; of one alone, which tells nothing, the largest."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.25
