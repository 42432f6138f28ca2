"""Search for near-duplicate pictures: perceptual hashes propose a pair, and the two layouts decide.

Samples with equal hash and equal layout are one node, of which the preferred sample stands for all. All pairs of nodes
within a Hamming radius are found (`hamming`), but in a table's group of more than ALL nodes, which are compared with
its FIRST preferred ones, and of a node with more preferred neighbours than `buckets.MOST_EDGES`; how many nodes that
leaves with something unsearched is counted.
"""

from dataclasses import dataclass

import numpy as np

from tamis.pipeline.algorithms.arrays import (
    BoolArray,
    Float64Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
)
from tamis.pipeline.algorithms.grouping.buckets import (
    MOST_EDGES,
    first_edges,
    firsts,
    group,
    pair_blocks,
    stars,
)
from tamis.pipeline.algorithms.grouping.leaders import ranks
from tamis.pipeline.algorithms.near_pictures import hamming, layouts

ALL = 1 << 15
"""Most nodes of a group that are compared each with each."""

FIRST = 1 << 13
"""Preferred nodes of a larger group that each of its nodes is compared with."""

_PAIRS = 1 << 19
_SIDE = 1 << 11
# Share of a block's pairs from which a matrix product is cheaper than looking at them one by one.
_DENSE = 1 / 16


@dataclass(frozen=True)
class Pictures:
    """Pictures of n samples, and what makes two of them alike.

    Args:
        hashes: uint64 (n,), perceptual.
        layouts: uint8 (n, 162), by `layouts.encode`.
        radius: most bits in which the hashes of a pair differ.
        bound: largest difference of the layouts of a pair.
    """

    hashes: UInt64Array
    layouts: UInt8Array
    radius: int
    bound: float


@dataclass(frozen=True)
class Edges:
    """Verified pairs; `a` is preferred.

    Args:
        a: int64 (m,), rows.
        b: int64 (m,), rows.
        bits: uint8 (m,), in which the hashes differ.
        difference: float64 (m,), of the layouts.
        unsearched: nodes some of whose pairs or edges were left out.
    """

    a: Int64Array
    b: Int64Array
    bits: UInt8Array
    difference: Float64Array
    unsearched: int


def nodes(pictures: Pictures, rank: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Samples that have hash and layout with others in common: the preferred row of each such node, and each other one.

    Returns:
        Two int64 arrays: edges, the preferred row first.
    """
    key = layouts.keys(pictures.layouts, pictures.hashes)
    return stars(group(np.arange(len(rank)), rank, key))


def firsts_of_nodes(pictures: Pictures, rank: Int64Array) -> Int64Array:
    """Preferred row of each node, int64, sorted by the nodes' keys."""
    return firsts(rank, layouts.keys(pictures.layouts, pictures.hashes))


def find(pictures: Pictures, uid: UInt64Array) -> tuple[Int64Array, Int64Array]:
    """Find the near-duplicate pictures of samples that fit in memory, by the whole method: edges (a, b), rows.

    Args:
        pictures: see there.
        uid: uint64 (n, 2), unique.
    """
    rank = ranks(uid)
    centre, other = nodes(pictures, rank)
    members = firsts_of_nodes(pictures, rank)
    masks = hamming.masks(len(members), pictures.radius)
    edges = tables(pictures, rank, members, masks, range(len(masks)))
    return np.concatenate([centre, edges.a]), np.concatenate([other, edges.b])


def compare(pictures: Pictures, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
    """Compare the layouts of pairs (p,): which are within the bound, bool (p,), and the differences float64 (p,)."""
    difference = layouts.difference(pictures.layouts, a, b)
    return difference <= pictures.bound, difference


def tables(
    pictures: Pictures, rank: Int64Array, members: Int64Array, masks: UInt64Array, chosen: range
) -> Edges:
    """Find the edges among nodes that meet in some of the tables and in none before these.

    Args:
        pictures: see there.
        rank: int64 (n,), by `leaders.ranks`.
        members: int64 (m,), rows of the nodes' preferred samples.
        masks: uint64 (tables,), by `hamming.masks`.
        chosen: numbers of the tables.
    """
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    left_out = np.zeros(len(rank), dtype=bool)
    for number in chosen:
        groups = group(members, rank, pictures.hashes[members] & masks[number])
        small = groups.sizes <= _SIDE
        for a, b in pair_blocks(groups.take(small), _PAIRS):
            found.append(_verified(pictures, masks[:number], a, b))
        for large in groups.take(~small):
            found += _large(pictures, masks[:number], large)
            left_out[large[ALL if len(large) <= ALL else FIRST :]] = True
    a, b, difference = (np.concatenate(column) for column in zip(*found, strict=True))
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    _, order = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    kept = order[first_edges(rank[a[order]], rank[b[order]])]
    left_out[b[np.setdiff1d(order, kept, assume_unique=True)]] = True
    bits = np.bitwise_count(pictures.hashes[a[kept]] ^ pictures.hashes[b[kept]])
    return Edges(a[kept], b[kept], bits, difference[kept], int(left_out.sum()))


def _verified(
    pictures: Pictures, earlier: UInt64Array, a: Int64Array, b: Int64Array
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Those of the pairs (p,) that are alike and meet in none of the earlier tables, with their differences."""
    apart = pictures.hashes[a] ^ pictures.hashes[b]
    near = np.bitwise_count(apart) <= pictures.radius
    for mask in earlier:
        near &= (apart & mask) != 0
    a, b = a[near], b[near]
    alike, difference = compare(pictures, a, b)
    return a[alike], b[alike], difference[alike]


def _large(
    pictures: Pictures, earlier: UInt64Array, members: Int64Array
) -> list[tuple[Int64Array, Int64Array, Float64Array]]:
    """Edges of one large group, by rank: pairs are looked through by hash, and where many are left by their light.

    Blocks come by the rank of their preferred ends, of which a member with many needs no more.
    """
    found = []
    edges = np.zeros(len(members), dtype=np.int64)
    hashes = pictures.hashes[members]
    sieve = layouts.Sieve(pictures.layouts[members], pictures.bound)
    most = len(members) if len(members) <= ALL else FIRST
    for rows, columns in layouts.blocks(len(members), _SIDE, most):
        apart = hashes[rows, None] ^ hashes[columns]
        near = np.bitwise_count(apart) <= pictures.radius
        for mask in earlier:
            near &= (apart & mask) != 0
        near &= np.arange(rows.start, rows.stop)[:, None] > np.arange(columns.start, columns.stop)
        near &= edges[rows, None] <= MOST_EDGES
        if np.count_nonzero(near) > _DENSE * near.size:
            near &= sieve.passing(rows, columns)
        second, first = np.nonzero(near)
        a, b = members[first + columns.start], members[second + rows.start]
        alike, difference = compare(pictures, a, b)
        kept = np.flatnonzero(alike)
        # One more than is kept in the end, by which it is seen that some are left out.
        kept = kept[first_edges(first[kept], second[kept], MOST_EDGES + 1)]
        edges[rows] += np.bincount(second[kept], minlength=rows.stop - rows.start)
        found.append((a[kept], b[kept], difference[kept]))
    return found
