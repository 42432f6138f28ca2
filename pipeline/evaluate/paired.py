"""The paired t-test: two choices on the same holdouts, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def paired(values: Sequence[float], base: Sequence[float]) -> float | None:
    """The p-value of the two-sided paired t-test (Student); None where there is nothing to test: one
    seed, or differences that are all the same.

    Args:
        values: one a seed.
        base: what they are compared with, of the same seeds in the same order.
    """
    differences = np.subtract(values, base)
    if len(differences) < 2 or not differences.std() > 1e-12:
        return None
    return float(stats.ttest_rel(values, base).pvalue)
