"""Connected components of duplicate edges in one machine's memory, and the survivor of each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Int64Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import uid_rank


def connected(a: Int64Array, b: Int64Array, n: int) -> Int64Array:
    """Label n nodes by the smallest node of their connected component: int64 (n,).

    Args:
        a: int64 (m,), one end of each edge, 0..n-1.
        b: int64 (m,), the other end. Edges may repeat, and join a node to itself.
        n: number of nodes.

    Raises:
        ValueError: an edge with a node outside 0..n-1.
    """
    # Imported here, because csgraph is a fifth of all imports of a worker that may have no edge.
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    _check_edges(a, b, n)
    ones = np.ones(len(a), dtype=np.int8)
    graph = sparse.coo_array((ones, (a, b)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    smallest = np.empty(n, dtype=np.int64)
    # Written from the last node down: the smallest node of a component is written last.
    smallest[component[::-1]] = np.arange(n)[::-1]
    return smallest[component]


def survivors(
    label: Int64Array, uid: UInt64Array, preference: NDArray[Any] | None = None
) -> Int64Array:
    """Survivor of each row's component, the one sample that is kept: int64 (n,) rows.

    The survivor has the largest preference; of several such, the smallest uid. It does not depend on the order of rows.

    Args:
        label: int64 (n,), the component of each row; any numbers.
        uid: uint64 (n, 2), unique.
        preference: (n,) numbers, the larger the better (a picture's pixels, a similarity); NaN is
            worst. None: uids alone decide.
    """
    keys: list[NDArray[Any]] = [uid_rank(uid)]
    if preference is not None:
        keys += [_descending(preference), np.isnan(preference)]
    order = np.lexsort((*keys, label))
    ordered = label[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    result = np.empty(len(order), dtype=np.int64)
    result[order] = order[first][np.cumsum(first) - 1]
    return result


def partners(
    a: Int64Array, b: Int64Array, value: NDArray[np.float64], uid: UInt64Array
) -> tuple[Int64Array, NDArray[np.float64]]:
    """Partner of each row, its most similar neighbour; of several such, the one with the smallest uid.

    Args:
        a: int64 (m,), one end of each edge.
        b: int64 (m,), the other end.
        value: float64 (m,), the larger the more alike (negate a distance).
        uid: uint64 (n, 2), unique.

    Returns:
        (partner int64 (n,), value float64 (n,)); -1 and NaN for a row without edges.
    """
    rank = uid_rank(uid)
    row, neighbour = np.concatenate([a, b]), np.concatenate([b, a])
    values = np.concatenate([value, value])
    # Written from the worst edge of a row to its best: the best stays.
    order = np.lexsort((-rank[neighbour], values))
    partner = np.full(len(uid), -1, dtype=np.int64)
    best = np.full(len(uid), np.nan)
    partner[row[order]] = neighbour[order]
    best[row[order]] = values[order]
    return partner, best


def _descending(preference: NDArray[Any]) -> NDArray[Any]:
    # Integers are complemented, since unsigned ones have no negative.
    return ~preference if preference.dtype.kind in "ui" else -preference


def _check_edges(a: Int64Array, b: Int64Array, n: int) -> None:
    if not len(a):
        return
    least, most = min(a.min(), b.min()), max(a.max(), b.max())
    if least < 0 or most >= n:
        raise ValueError(
            f"edges have nodes {least} to {most}, and n is {n}: pass the number of all nodes"
        )
