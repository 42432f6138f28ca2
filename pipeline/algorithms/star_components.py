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

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from pipeline.algorithms.hashing import mix64
from pipeline.algorithms.text import Int64Array

Edges = tuple[Int64Array, Int64Array]
Star = Callable[[Int64Array, Int64Array], Edges]

MOST_TURNS = 100
"""Far more than any graph has needed."""


class EdgeStore(Protocol):
    """Where partitions of edges lie: in memory, or in files."""

    def write(self, generation: int, partition: int, edges: Edges) -> None:
        """Add edges, two int64 arrays, to a partition of a generation."""
        ...

    def read(self, generation: int, partition: int) -> Edges:
        """Give all edges of a partition, in any order; none where nothing was written."""
        ...

    def drop(self, generation: int) -> None:
        """Forget a generation."""
        ...


class MemoryStore:
    """Partitions of edges in memory."""

    def __init__(self) -> None:
        self._edges: dict[tuple[int, int], list[Edges]] = {}

    def write(self, generation: int, partition: int, edges: Edges) -> None:
        """Add edges to a partition of a generation."""
        self._edges.setdefault((generation, partition), []).append(edges)

    def read(self, generation: int, partition: int) -> Edges:
        """Give all edges of a partition."""
        parts = self._edges.get((generation, partition), [])
        none = np.empty(0, dtype=np.int64)
        return (
            np.concatenate([none, *(part[0] for part in parts)]),
            np.concatenate([none, *(part[1] for part in parts)]),
        )

    def drop(self, generation: int) -> None:
        """Forget a generation."""
        for key in [key for key in self._edges if key[0] == generation]:
            del self._edges[key]


def partition_of(nodes: Int64Array, partitions: int) -> Int64Array:
    """Partition of each node, int64 in 0..partitions-1, by a hash."""
    hashed = mix64(nodes.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return (hashed % np.uint64(partitions)).astype(np.int64)


def scatter(
    store: EdgeStore, generation: int, edges: Edges, partitions: int, by_larger: bool
) -> None:
    """Write edges to the partitions in which the next star looks for them."""
    for partition, share in enumerate(shares(edges, partitions, by_larger)):
        if len(share[0]):
            store.write(generation, partition, share)


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


def connected_blocks(store: EdgeStore, blocks: Iterator[Edges], partitions: int) -> Iterator[Edges]:
    """Label components out of blocks of edges, one partition in memory at a time.

    Args:
        store: where partitions are kept between the stars.
        blocks: edges, two int64 arrays a block; nodes are any integers >= 0.
        partitions: how many; a partition has to fit in memory.

    Yields:
        (node, label), two int64 arrays a partition: each node that has an edge to another and is
        not itself the smallest of its component, with that smallest node. Over all partitions
        each such node comes once; which partition a node comes in is by its hash.
    """
    for block in blocks:
        scatter(store, 0, block, partitions, by_larger=False)
    generation, before = 0, (-1, 0)
    for _ in range(MOST_TURNS):
        _turn(store, generation, partitions, large_star, by_larger=True)
        # What a small star is about to read is what the large star left: compare it turn by turn.
        after = _fingerprint(store, generation + 1, partitions)
        if after == before:
            break
        before = after
        _turn(store, generation + 1, partitions, small_star, by_larger=False)
        generation += 2
    else:
        raise ValueError(
            f"components still change after {MOST_TURNS} turns of large and small star"
        )
    for partition in range(partitions):
        yield unique(*store.read(generation + 1, partition))
    store.drop(generation + 1)


def _turn(store: EdgeStore, generation: int, partitions: int, star: Star, by_larger: bool) -> None:
    for partition in range(partitions):
        edges = star(*store.read(generation, partition))
        scatter(store, generation + 1, edges, partitions, by_larger)
    store.drop(generation)


def _fingerprint(store: EdgeStore, generation: int, partitions: int) -> tuple[int, int]:
    """Count the distinct edges of a generation and sum their hashes: the same for any order."""
    parts = [summed(unique(*store.read(generation, partition))) for partition in range(partitions)]
    return sum(count for count, _ in parts), sum(total for _, total in parts) % 2**64


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
