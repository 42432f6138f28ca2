"""Search for near-duplicate pictures: perceptual hashes propose a pair, and the two layouts decide.

Samples of equal pixels are one node, of which the preferred sample stands for all; so are those of equal hash and
layout where more than CROWD different pictures share both, such as blank pages of many sizes. All pairs of nodes
within a Hamming radius are found (`hamming`), but in a table's group of more than ALL nodes, which are compared with
its FIRST preferred ones, and of a node with more preferred neighbours than `buckets.MOST_EDGES`; how many nodes that
leaves with something unsearched is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

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
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_pictures import hamming, layouts

ALL = 1 << 18
"""Most nodes of a group that are compared each with each that is about as light."""

FIRST = 1 << 13
"""Preferred nodes of a larger group that each of its nodes is compared with."""

CROWD = 64
"""Pictures of equal hash and equal layout that are told apart by their pixels; more of them are one."""

_PAIRS = 1 << 19
# Edges of a large group after which those are left out that no node keeps.
_EDGES = 1 << 22
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
        pixels: uint64 (n,), a hash of each one's pixels; None: those of equal hash and equal layout are one.
    """

    hashes: UInt64Array
    layouts: UInt8Array
    radius: int
    bound: float
    pixels: UInt64Array | None = None

    def take(self, rows: Int64Array) -> "Pictures":
        """Select some (m,)."""
        pixels = None if self.pixels is None else self.pixels[rows]
        return replace(self, hashes=self.hashes[rows], layouts=self.layouts[rows], pixels=pixels)

    def keys(self, among: UInt64Array | None = None) -> UInt64Array:
        """Keys of the nodes that the pictures are, uint64 (n,).

        Args:
            among: uint64 (n,), of captions: crowds are counted, and nodes made, under one alone.
        """
        shared = layouts.keys(self.layouts, self.hashes)
        if among is not None:
            shared = mix64(shared ^ mix64(among + np.uint64(1)))
        if self.pixels is None:
            return shared
        own = mix64(shared ^ mix64(self.pixels + np.uint64(1)))
        _, first = np.unique(own, return_index=True)
        kinds, count = np.unique(shared[first], return_counts=True)
        keys: UInt64Array = np.where(np.isin(shared, kinds[count > CROWD]), shared, own)
        return keys


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
    """Samples that show the same picture as others: the preferred row of each such node, and each other one.

    Returns:
        Two int64 arrays: edges, the preferred row first.
    """
    return stars(group(np.arange(len(rank)), rank, pictures.keys()))


def firsts_of_nodes(pictures: Pictures, rank: Int64Array) -> Int64Array:
    """Preferred row of each node, int64, sorted by the nodes' keys."""
    return firsts(rank, pictures.keys())


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
    """Compare the layouts of pairs (p,): which are within the bound, bool (p,), and their differences, float64 (p,)."""
    difference = np.full(len(a), np.inf)
    likely = np.flatnonzero(layouts.possible(pictures.layouts, a, b, pictures.bound))
    difference[likely] = layouts.difference(pictures.layouts, a[likely], b[likely])
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
            found.append(_large(pictures, rank, masks[:number], large))
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
    pictures: Pictures, rank: Int64Array, earlier: UInt64Array, members: Int64Array
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Edges of one large group, by rank; of a node that has many the first, and one more, by which that is seen."""
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    count = 0
    for a, b in _proposed(pictures, members):
        found.append(_verified(pictures, earlier, a, b))
        count += len(found[-1][0])
        if count > _EDGES:
            found, count = [_thinned(rank, found)], 0
    return _thinned(rank, found)


def _thinned(
    rank: Int64Array, found: list[tuple[Int64Array, Int64Array, Float64Array]]
) -> tuple[Int64Array, Int64Array, Float64Array]:
    a, b, difference = (np.concatenate(column) for column in zip(*found, strict=True))
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    kept = first_edges(rank[a], rank[b], MOST_EDGES + 1)
    return a[kept], b[kept], difference[kept]


def _proposed(pictures: Pictures, members: Int64Array) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Yield pairs of a large group, by rank, whose hashes are near and whose light may be: rows a and b.

    Sorted by their mean light, a member has its like in a window.
    """
    first = len(members) if len(members) <= ALL else FIRST
    light = layouts.mean_light(pictures.layouts[members])
    is_first = np.arange(len(members)) < first
    order = np.argsort(light, kind="stable")
    members, light, is_first = members[order], light[order], is_first[order]
    hashes = pictures.hashes[members]
    sieve = layouts.Sieve(pictures.layouts[members], pictures.bound)
    within = layouts.mean_within(pictures.bound)
    for top in range(0, len(members), _SIDE):
        rows = slice(top, min(top + _SIDE, len(members)))
        left = int(np.searchsorted(light, light[top] - within - 1e-6))
        for start in range(left, rows.stop, _SIDE):
            columns = slice(start, min(start + _SIDE, rows.stop))
            near = np.bitwise_count(hashes[rows, None] ^ hashes[columns]) <= pictures.radius
            if np.count_nonzero(near) > _DENSE * near.size:
                near &= sieve.passing(rows, columns)
            i, j = np.nonzero(near)
            i, j = i + rows.start, j + columns.start
            chosen = (i > j) & (is_first[i] | is_first[j])
            yield members[j[chosen]], members[i[chosen]]
