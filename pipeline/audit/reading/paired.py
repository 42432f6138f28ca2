"""The paired t-test: two choices on the same holdouts, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

SAME = 1e-12
"""Difference below which two figures are equal, but for rounding."""


def paired(values: Sequence[float], base: Sequence[float]) -> float | None:
    """The p-value of Student's two-sided paired t-test.

    None if there is nothing to test: one seed, or no difference in any. 0 if the difference is the same in every seed.

    Args:
        values: one figure a seed.
        base: the figures to compare with, of the same seeds in the same order.
    """
    differences = np.subtract(values, base)
    if len(differences) < 2 or not np.abs(differences).max() > SAME:
        return None
    if not differences.std() > SAME:
        return 0.0
    return float(stats.ttest_rel(values, base).pvalue)
