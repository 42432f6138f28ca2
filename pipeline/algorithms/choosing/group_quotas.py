"""Budgets over groups: a share by weight, up to each group's capacity, and exact in sum; also level by level.

For groups with weights w and capacities c the quotas are x_j = min(c_j, lambda w_j), for the one lambda at which they
sum to the budget: a water level. With equal weights every group keeps the same number, and small groups all they have;
PASER's budgets (He et al. 2025) are such shares, whose rounding down and small groups lose a part. Whole numbers follow
by largest remainder, of equal ones the first group.

With several levels the groups of the first share the budget, and each of them what it got among those of the next:
with equal weights the hierarchical sampling of Vo et al. (2024).
"""

from typing import NamedTuple

import numpy as np

from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array
from tamis.pipeline.algorithms.shares import rounded_down


class InfeasibleQuotas(ValueError):  # noqa: N818 - it names the condition, as the step reports it
    """No quotas within the capacities sum to the budget."""


class Level(NamedTuple):
    """The groups of one level, in order.

    Args:
        parent: int64 (K,), ascending: each group's number in the level above; zeros in the first.
        weight: float64 (K,), finite and not negative.
        capacity: int64 (K,), the most that each keeps.
    """

    parent: Int64Array
    weight: Float64Array
    capacity: Int64Array


def capacities(sizes: Int64Array, share: float = 1.0, most: int | None = None) -> Int64Array:
    """The most that groups of these sizes keep, int64 (K,): a share of each, rounded down, and ``most`` of each."""
    allowed = sizes
    if share < 1:
        different, numbers = np.unique(sizes, return_inverse=True)
        parts = [rounded_down(share, size) for size in different.tolist()]
        allowed = np.array(parts, np.int64)[numbers]
    return allowed if most is None else np.minimum(allowed, most)


def real_quotas(weight: Float64Array, capacity: Int64Array, total: float) -> Float64Array:
    """The real-valued quotas min(c, lambda w) that sum to the total: float64 (K,), by a sort.

    Args:
        weight: float64 (K,), finite and not negative; a group without weight keeps nothing.
        capacity: int64 (K,).
        total: from 0 to the sum of the capacities of groups with a weight.

    Raises:
        InfeasibleQuotas: a larger total.
    """
    some = np.flatnonzero((weight > 0) & (capacity > 0))
    most = int(capacity[some].sum())
    if total > most:
        raise InfeasibleQuotas(f"{total:,} are asked for, and its groups allow {most:,}")
    quota = np.zeros(len(weight))
    if not len(some):
        return quota
    bound = capacity[some] / weight[some]  # the level at which a group is full
    order = some[np.argsort(bound, kind="stable")]
    full = np.cumsum(capacity[order]) - capacity[order]  # kept by those that are full before
    open_weight = np.cumsum(weight[order][::-1])[::-1]
    level = (total - full) / open_weight
    # The first group that its own level does not fill; if all are full, the last.
    last = np.flatnonzero(level <= np.sort(bound, kind="stable"))
    first = int(last[0]) if len(last) else len(order) - 1
    quota[some] = np.minimum(capacity[some], level[first] * weight[some])
    return quota


def quotas(weight: Float64Array, capacity: Int64Array, total: int) -> Int64Array:
    """Whole quotas, int64 (K,), that sum to the total exactly; arguments and errors as ``real_quotas``."""
    real = real_quotas(weight, capacity, total)
    whole = np.floor(real).astype(np.int64)
    missing = total - int(whole.sum())
    remainder = np.where((whole < capacity) & (weight > 0), real - whole, -1.0)
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole


def by_level(levels: list[Level], total: int) -> Int64Array:
    """The quotas of the last level's groups, int64 (K,), which sum to the total exactly.

    Args:
        levels: from the first, of which each group has its share of the total, to the last. A capacity in an earlier
            level is what its groups below can keep together.
        total: as for ``real_quotas``, of the first level.

    Raises:
        InfeasibleQuotas: it is more than the first level allows.
    """
    given = np.array([total], np.int64)
    for level in levels:
        quota = np.zeros(len(level.parent), np.int64)
        starts = np.searchsorted(level.parent, np.arange(len(given) + 1))
        for number in np.flatnonzero(given):
            own = slice(starts[number], starts[number + 1])
            quota[own] = quotas(level.weight[own], level.capacity[own], int(given[number]))
        given = quota
    return given


def smallest_total(weight: Float64Array, capacity: Int64Array, group: int, rank: int) -> int | None:
    """Smallest budget whose real-valued quota of a group reaches the rank; None if no budget does.

    It is that of lambda = rank / w_j: so a larger budget keeps a sample of that rank too, but for rounding by one.
    """
    if rank > capacity[group] or weight[group] <= 0:
        return None
    level = rank / weight[group]
    reached = np.minimum(capacity, level * weight)[weight > 0].sum()
    return int(np.ceil(reached - 1e-9 * max(1.0, reached)))
