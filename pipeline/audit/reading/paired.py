"""The paired t-test: two choices on the same holdouts, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

SAME = 1e-12
"""Figures that differ by less are equal: what is left is rounding."""


def paired(values: Sequence[float], base: Sequence[float]) -> float | None:
    """The p-value of the two-sided paired t-test (Student); None where there is nothing to test: one
    seed, or no difference in any. A difference that is the same in every seed leaves no doubt: 0.

    Args:
        values: one a seed.
        base: what they are compared with, of the same seeds in the same order.
    """
    differences = np.subtract(values, base)
    if len(differences) < 2 or not np.abs(differences).max() > SAME:
        return None
    if not differences.std() > SAME:
        return 0.0
    return float(stats.ttest_rel(values, base).pvalue)
