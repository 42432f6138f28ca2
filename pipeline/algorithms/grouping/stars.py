"""Connected components of more edges than one machine holds: alternating large and small stars.

Kiveris, Lattanzi, Mirrokni, Rastogi and Vassilvitskii, "Connected Components in MapReduce and Beyond" (SoCC 2014).
Edges are partitioned by a hash of a node, and a star operation reads one partition at a time. A large star joins the
larger neighbours of each node to the smallest node among the node and its neighbours; a small star joins the node and
its smaller neighbours to the smallest of them. Both keep the components. Repeated, they leave one star for each
component, with its smallest node in the centre: after about log^2 n turns in theory, four to eight in practice.

Memory is that of the largest partition, which holds at least all edges of one node: in the end one
edge, 16 bytes, for each member of the largest component.
"""

from collections.abc import Iterator

import numpy as np

from tamis.pipeline.algorithms.arrays import Int64Array
from tamis.pipeline.algorithms.hashing import mix64

Edges = tuple[Int64Array, Int64Array]

MOST_TURNS = 100
"""Most turns of both stars, far more than any graph has needed."""


def partition_of(nodes: Int64Array, partitions: int) -> Int64Array:
    """Partition of each node by a hash, 0..partitions-1: int64 (n,)."""
    hashed = mix64(nodes.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return (hashed % np.uint64(partitions)).astype(np.int64)


def split_edges(edges: Edges, partitions: int, by_larger: bool) -> Iterator[Edges]:
    """Yield the edges of each partition, (node, neighbour), the node being the one that lies in the partition.

    Args:
        edges: int64 (m,) pairs in any order; edges from a node to itself are dropped.
        partitions: their number.
        by_larger: each edge at its larger node alone, for a small star; else at both, for a large star.
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
    """Join the larger neighbours of each node to the smallest node among it and its neighbours.

    Args:
        node: int64 (m,), a partition's nodes, each once for every edge it has.
        neighbour: int64 (m,), the other end of that edge.

    Returns:
        Unique edges (larger, smallest).
    """
    nodes, inverse = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, inverse, neighbour)
    larger = neighbour > node
    return unique(neighbour[larger], least[inverse[larger]])


def small_star(node: Int64Array, neighbour: Int64Array) -> Edges:
    """Join each node and its smaller neighbours to the smallest of them.

    Args:
        node: int64 (m,), the larger end of each edge.
        neighbour: int64 (m,), its smaller end.

    Returns:
        Unique edges (larger, smallest).
    """
    nodes, inverse = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, inverse, neighbour)
    a = np.concatenate([neighbour, nodes])
    b = np.concatenate([least[inverse], least])
    return unique(a[a != b], b[a != b])


def checksum(edges: Edges) -> tuple[int, int]:
    """Number of edges and sum of their hashes, modulo 2**64: equal for equal sets of edges in any order."""
    a, b = edges
    hashed = mix64(mix64(a.astype(np.uint64) + np.uint64(1)) ^ b.astype(np.uint64))
    return len(a), int(hashed.sum(dtype=np.uint64))


def unique(a: Int64Array, b: Int64Array) -> Edges:
    """Edges (a, b), each once, sorted."""
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    new = np.ones(len(a), dtype=bool)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return a[new], b[new]
