"""Leaders of duplicates: in the order of preference a sample is kept unless it is alike to a kept one before it.

A sample that falls names a kept one that it is alike to itself: no chain of likenesses joins strangers. Of the samples
that are kept no two are alike, as far as the edges are complete.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import uid_rank


def ranks(uid: UInt64Array, preference: NDArray[np.floating] | None = None) -> Int64Array:
    """Rank of each sample by preference, the largest first, and then by uid: int64 (n,), from 0.

    Args:
        uid: uint64 (n, 2), unique.
        preference: float (n,), NaN is worst; None: uids alone decide.

    Raises:
        ValueError: two rows with the same uid.
    """
    rank = uid_rank(uid)
    if preference is None or (preference[1:] == preference[:-1]).all():
        return rank
    order = np.lexsort((rank, -preference, np.isnan(preference)))
    rank[order] = np.arange(len(rank))
    return rank


def kept(
    first: Int64Array, second: Int64Array, n: int, fallen: BoolArray | None = None
) -> BoolArray:
    """Mark the leaders among n samples in the order of their ranks: bool (n,), by rank.

    Args:
        first: int64 (m,), rank of the preferred end of each edge.
        second: int64 (m,), rank of the other end, larger.
        n: number of samples.
        fallen: bool (n,), by rank, samples that fell for a leader that is not among these; None: nobody did.
    """
    order = np.argsort(first, kind="stable")
    followers = second[order]
    leads, starts, counts = np.unique(first[order], return_index=True, return_counts=True)
    stops = starts + counts
    result = np.ones(n, dtype=bool) if fallen is None else ~fallen
    for lead, start, stop in zip(leads.tolist(), starts.tolist(), stops.tolist(), strict=True):
        if result[lead]:
            result[followers[start:stop]] = False
    return result


def nearest_leader(
    first: Int64Array, second: Int64Array, value: Float64Array, is_kept: BoolArray
) -> tuple[Int64Array, Float64Array]:
    """Leader that each fallen sample is most like; of several such, the preferred.

    Args:
        first: int64 (m,), rank of the preferred end of each edge.
        second: int64 (m,), rank of the other end.
        value: float64 (m,), the larger the more alike (negate a distance).
        is_kept: bool (n,), by `kept`.

    Returns:
        (rank of the leader int64 (n,), value float64 (n,)); of a kept sample itself and NaN.
    """
    falls = is_kept[first] & ~is_kept[second]
    first, second, value = first[falls], second[falls], value[falls]
    # Written from the worst edge of a sample to its best: the best stays.
    order = np.lexsort((-first, value))
    leader = np.arange(len(is_kept))
    best = np.full(len(is_kept), np.nan)
    leader[second[order]] = first[order]
    best[second[order]] = value[order]
    return leader, best


def follow(
    first: Int64Array, second: Int64Array, value: Float64Array, same: BoolArray
) -> tuple[Int64Array, Float64Array]:
    """Leader of each sample, itself where it is kept, and how alike the two are.

    Args:
        first: int64 (m,), rank of the preferred end of each edge, from 0 to the number of samples.
        second: int64 (m,), rank of the other end.
        value: float64 (m,), the larger the more alike.
        same: bool (m,), edges to samples that nothing tells from the preferred end: they have no other edge, and what
            that one falls for they fall for too.

    Returns:
        (rank int64 (n,), value float64 (n,)); the value is NaN where a sample is kept.
    """
    n = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    a, b = first[~same], second[~same]
    leader, best = nearest_leader(a, b, value[~same], kept(a, b, n))
    one, other = first[same], second[same]
    leader[other] = leader[one]
    best[other] = np.where(leader[one] == one, value[same], best[one])
    return leader, best
