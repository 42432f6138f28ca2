"""Connected components of more edges than one machine holds: alternating large and small stars.

Kiveris, Lattanzi, Mirrokni, Rastogi and Vassilvitskii, "Connected Components in MapReduce and
Beyond" (SoCC 2014). Edges lie in partitions by a hash of a node; a star operation needs one
partition at a time. A large star joins the larger neighbours of each node to the smallest node
around; a small star joins its smaller neighbours, and itself, to the smallest of them. Both keep the
components, and repeated they leave one star a component, its smallest node in the centre: about
log^2 of the nodes' number of turns in theory, four to eight in practice.

Memory is that of the largest partition, which holds at least all edges at one node: in the end one
edge, 16 bytes, for each member of the largest component.
"""

from collections.abc import Iterator

import numpy as np

from tamis.pipeline.algorithms.arrays import Int64Array
from tamis.pipeline.algorithms.hashing import mix64

Edges = tuple[Int64Array, Int64Array]

MOST_TURNS = 100
"""Far more than any graph has needed."""


def partition_of(nodes: Int64Array, partitions: int) -> Int64Array:
    """Partition of each node, int64 in 0..partitions-1, by a hash."""
    hashed = mix64(nodes.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return (hashed % np.uint64(partitions)).astype(np.int64)


def shares(edges: Edges, partitions: int, by_larger: bool) -> Iterator[Edges]:
    """Part edges, one share a partition, each edge seen from the node that decides its home.

    A large star needs each edge at both its nodes, a small star at the larger one only.
    """
    a, b = np.maximum(*edges), np.minimum(*edges)
    a, b = a[a != b], b[a != b]
    if not by_larger:
        a, b = np.concatenate([a, b]), np.concatenate([b, a])
    home = partition_of(a, partitions)
    order = np.argsort(home, kind="stable")
    bounds = np.searchsorted(home[order], np.arange(partitions + 1))
    for partition in range(partitions):
        rows = order[bounds[partition] : bounds[partition + 1]]
        yield a[rows], b[rows]


def large_star(node: Int64Array, neighbour: Int64Array) -> Edges:
    """Join the larger neighbours of each node to the smallest node of its surroundings.

    Args:
        node: int64 (m,), every edge of the partition's nodes, each seen from that node.
        neighbour: int64 (m,), the other end.

    Returns:
        Edges (larger, smallest), unique.
    """
    nodes, place = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, place, neighbour)
    larger = neighbour > node
    return unique(neighbour[larger], least[place[larger]])


def small_star(node: Int64Array, neighbour: Int64Array) -> Edges:
    """Join each node and its smaller neighbours to the smallest of them.

    Args:
        node: int64 (m,), the larger end of each edge.
        neighbour: int64 (m,), its smaller end.

    Returns:
        Edges (larger, smallest), unique.
    """
    nodes, place = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, place, neighbour)
    a = np.concatenate([neighbour, nodes])
    b = np.concatenate([least[place], least])
    return unique(a[a != b], b[a != b])


def summed(edges: Edges) -> tuple[int, int]:
    """Count edges and sum their hashes, modulo 2**64."""
    a, b = edges
    hashed = mix64(mix64(a.astype(np.uint64) + np.uint64(1)) ^ b.astype(np.uint64))
    return len(a), int(hashed.sum(dtype=np.uint64))


def unique(a: Int64Array, b: Int64Array) -> Edges:
    """Each edge once, sorted."""
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    new = np.ones(len(a), dtype=bool)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return a[new], b[new]
