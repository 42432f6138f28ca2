"""Thinning of dense components to the edges that decide: those that join them and each member's nearest neighbour.

A hundred near copies of each of a thousand captions have five million edges. Two edges a member decide which samples
are dropped, and because of which partner.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array
from tamis.pipeline.algorithms.grouping.components import connected

MOST_EDGES = 64
"""Most edges a member of a component whose edges are all kept; 128 near copies, all of whose pairs are compared."""


def decisive(
    a: Int64Array,
    b: Int64Array,
    value: NDArray[np.float64],
    rank: Int64Array,
    most: int = MOST_EDGES,
) -> BoolArray:
    """Mark the edges to keep, bool (m,): all edges of components with at most `most` a member, few of the others.

    Those keep the best edge of each member (of several, the one to the smallest rank), as `components.partners`
    chooses it, and as many more as connect the component. The result depends on the edges and their order alone.

    Args:
        a: int64 (m,), one end of each edge, 0..n-1. No edge is repeated.
        b: int64 (m,), the other end.
        value: float64 (m,), the larger the more alike.
        rank: int64 (n,), each row's `uid_rank`.
        most: edges a member.
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
    piece = connected(a[kept], b[kept], n)
    while True:
        across = dense[piece[a[dense]] != piece[b[dense]]]
        if not len(across):
            return kept
        # Each piece of a component takes its first edge to another piece.
        ends = np.concatenate([piece[a[across]], piece[b[across]]])
        _, first = np.unique(ends, return_index=True)
        chosen = across[first % len(across)]
        kept[chosen] = True
        piece = connected(piece[a[chosen]], piece[b[chosen]], n)[piece]


def _best(a: Int64Array, b: Int64Array, value: NDArray[np.float64], rank: Int64Array) -> Int64Array:
    """Position of the best edge of each row that has an edge: int64."""
    row, neighbour = np.concatenate([a, b]), np.concatenate([b, a])
    values = np.concatenate([value, value])
    order = np.lexsort((-rank[neighbour], values))
    best = np.full(len(rank), -1, dtype=np.int64)
    best[row[order]] = order % max(1, len(a))
    return best[best >= 0]
