"""Which edges of dense components decide: the few that make the component and give each member its nearest neighbour.

A hundred near copies of one caption are five thousand edges, of a hundred thousand captions five million; who is
dropped, and because of whom, hangs on two a member.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array
from tamis.pipeline.algorithms.grouping.components import connected

MOST = 64
"""Edges a member of a component that are all kept: as many as 128 near copies have, of which all pairs are compared."""


def decisive(
    a: Int64Array, b: Int64Array, value: NDArray[np.float64], rank: Int64Array, most: int = MOST
) -> BoolArray:
    """Mark edges to keep: all but, in components of more than `most` a member, what changes nothing.

    There the best edge of each member stays (of several, the one to the smallest rank), as
    `components.partners` chooses it, and as many others as keep the component in one piece.

    Args:
        a: int64 (m,), one end of each edge, 0..n-1. Each edge stands once.
        b: int64 (m,), the other end.
        value: float64 (m,), the larger the more alike.
        rank: int64 (n,), the place of each row's uid among all uids.
        most: edges a member.

    Returns:
        bool (m,). Of the same edges in the same order it is the same.
    """
    n = len(rank)
    degree = np.bincount(a, minlength=n) + np.bincount(b, minlength=n)
    kept = np.ones(len(a), dtype=bool)
    if degree.max(initial=0) <= 2 * most:
        return kept
    label = connected(a, b, n)
    members = np.bincount(label, minlength=n)
    edges = np.bincount(label[a], minlength=n)
    dense = np.flatnonzero((edges > most * members)[label[a]])
    kept[dense] = False
    kept[dense[_best(a[dense], b[dense], value[dense], rank)]] = True
    joined = connected(a[kept], b[kept], n)
    while True:
        across = dense[joined[a[dense]] != joined[b[dense]]]
        if not len(across):
            return kept
        # Each piece that is left takes its first edge to another.
        ends = np.concatenate([joined[a[across]], joined[b[across]]])
        _, first = np.unique(ends, return_index=True)
        chosen = across[first % len(across)]
        kept[chosen] = True
        joined = connected(joined[a[chosen]], joined[b[chosen]], n)[joined]


def _best(a: Int64Array, b: Int64Array, value: NDArray[np.float64], rank: Int64Array) -> Int64Array:
    """The best edge of each row that has any: int64 places."""
    source, target = np.concatenate([a, b]), np.concatenate([b, a])
    both = np.concatenate([value, value])
    order = np.lexsort((-rank[target], both))
    best = np.full(len(rank), -1, dtype=np.int64)
    best[source[order]] = order % max(1, len(a))
    return best[best >= 0]
