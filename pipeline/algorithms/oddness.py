"""How far values are from most of the pool, in interquartile ranges (Tukey's fences, 1977).

Values are counted in fixed steps, so that the counts of any parts of the pool add up to those of the whole, in bounded
memory and in any order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DROPPED_BITS = 42
"""Of the 52 binary digits behind the first: steps are between a 1,024th and a 2,048th of the value."""


def stepped(values: Values) -> Values:
    """Positive numbers, each rounded down to its step. Whole numbers up to 2,048 stay as they are."""
    bits = np.ascontiguousarray(values).view(np.uint64) >> np.uint64(DROPPED_BITS)
    return (bits << np.uint64(DROPPED_BITS)).view(np.float64)


def quartiles(values: Values, counts: Counts) -> tuple[float, float]:
    """The least values that a quarter and three quarters of the samples do not exceed.

    Args:
        values: (n,), different and ascending, at least one.
        counts: (n,), samples that have each, at least 1.
    """
    reached = np.cumsum(counts)
    total = int(reached[-1])
    low, high = np.searchsorted(reached, [-(-total // 4), -(-3 * total // 4)])
    return float(values[low]), float(values[high])


def added_up(values: Values, counts: Counts) -> tuple[Values, Counts]:
    """The different ones of n values, ascending, and the sum of the counts of each, both (m,)."""
    different, place = np.unique(values, return_inverse=True)
    sums = np.zeros(len(different), np.int64)
    np.add.at(sums, place, counts)
    return different, sums


def distance(values: Values, low: float, high: float, least: float) -> Values:
    """How far each value is outside of two quartiles, in interquartile ranges; 0 inside.

    ``least``: what an interquartile range counts as where it is smaller, as where most values are equal.
    """
    outside = np.maximum(np.maximum(low - values, values - high), 0.0)
    return outside / max(high - low, least)
