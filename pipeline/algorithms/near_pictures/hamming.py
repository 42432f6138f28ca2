"""Near-duplicate pictures by perceptual hash: all pairs of 64-bit hashes within a Hamming radius.

Manku, Jain and Das Sarma (WWW 2007): divide the 64 bits into radius + k chunks; two hashes within the radius differ in
at most `radius` chunks, so k chunks at least are equal. Each choice of k chunks is a mask and a table; hashes that are
equal under a mask are compared. No pair is missed; of very dense groups, whose pairs are too many, only pairs that join
their components are kept. A larger k means more tables with smaller groups.
"""

from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np

from tamis.pipeline.algorithms.arrays import Int64Array, UInt8Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import (
    Groups,
    Limits,
    Matches,
    firsts,
    group,
    pair_blocks,
    search,
    stars,
    uid_rank,
)
from tamis.pipeline.algorithms.grouping.components import connected

BITS = 64
Pairs = tuple[Int64Array, Int64Array, UInt8Array]
"""Rows a and b, int64 (p,), and the bits in which their hashes differ, uint8 (p,)."""

# Pairs compared at the cost of adding one hash to a table and sorting it.
_TABLE_COST = 10
_MOST_TABLES = 1000

# Larger groups have too many pairs: only those that join components are kept.
_LIMITS = Limits(all_pairs=1 << 13)
# Centres of a large group before its components are compared with each other.
_CENTRES = 256


def distance(a: UInt64Array, b: UInt64Array) -> UInt8Array:
    """Number of bits in which uint64 hashes differ: uint8, 0 to 64, by NumPy's broadcasting rules."""
    return np.asarray(np.bitwise_count(a ^ b), dtype=np.uint8)


def masks(n: int, radius: int) -> UInt64Array:
    """Masks of the tables, uint64 (tables,), that cost least for n evenly spread hashes.

    Args:
        n: number of hashes; the speed depends on it, the pairs do not.
        radius: largest distance of a pair, 0 to 63 bits.

    Raises:
        ValueError: a radius outside 0 to 63.
    """
    if not 0 <= radius < BITS:
        raise ValueError(f"Hamming radius {radius}; give 0 to {BITS - 1} of {BITS} bits")
    if radius == 0:
        return np.array([2**BITS - 1], dtype=np.uint64)
    return _masks(radius, min(range(1, BITS - radius + 1), key=lambda k: _cost(n, radius, k)))


def _cost(n: int, radius: int, equal_chunks: int) -> float:
    tables = comb(radius + equal_chunks, equal_chunks)
    if equal_chunks > 1 and tables > _MOST_TABLES:
        return float("inf")
    group_size: float = n * 0.5 ** (BITS * equal_chunks / (radius + equal_chunks))
    return tables * (_TABLE_COST + group_size / 2)


def _masks(radius: int, equal_chunks: int) -> UInt64Array:
    # Chunks interleave, because neighbouring bits of a perceptual hash are neighbouring frequencies.
    count = radius + equal_chunks
    chunks = [sum(1 << bit for bit in range(chunk, BITS, count)) for chunk in range(count)]
    return np.array([sum(some) for some in combinations(chunks, equal_chunks)], dtype=np.uint64)


def pairs(
    hashes: UInt64Array, uid: UInt64Array, radius: int, limits: Limits | None = None
) -> Pairs:
    """Find the pairs of pictures whose hashes differ in at most `radius` bits.

    All rows with the same hash are joined to the one with the smallest uid, so that a million equal pictures are a
    million edges; distinct hashes within the radius are one pair, of their smallest uids. The components are those of
    all pairs.

    Args:
        hashes: uint64 (n,).
        uid: uint64 (n, 2), unique.
        radius: largest distance of a pair, in bits.
        limits: limits of the search of a table.

    Returns:
        (a, b, distance), rows sorted by uid with uid[a] < uid[b]: the same pairs of uids for any order of the rows.
    """
    rank = uid_rank(uid)
    centre, other = stars(group(np.arange(len(hashes)), rank, hashes))
    distinct = firsts(rank, hashes)
    table_masks = masks(len(distinct), radius)
    parts: list[Pairs] = [(centre, other, np.zeros(len(centre), dtype=np.uint8))]
    parts += [
        table_pairs(hashes, rank, distinct, table_masks, table, radius, limits)
        for table in range(len(table_masks))
    ]
    a, b, bits = (np.concatenate(column) for column in zip(*parts, strict=True))
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    _, order = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    return a[order], b[order], bits[order]


def table_pairs(
    hashes: UInt64Array,
    rank: Int64Array,
    members: Int64Array,
    table_masks: UInt64Array,
    table: int,
    radius: int,
    limits: Limits | None = None,
) -> Pairs:
    """Find the pairs that share a key in this table and in none before it.

    Tables are independent, and in a table the rows of each key: partitions by (table, hashes & table_masks[table]) can
    be searched apart, and no pair is found twice. Only groups above `limits.all_pairs` are an exception: of those, the
    pairs that join their components are kept.

    Args:
        hashes: uint64 (n,).
        rank: int64 (n,), each row's `uid_rank`.
        members: int64 (m,), rows with distinct hashes.
        table_masks: uint64 (tables,), by `masks`.
        table: number of the table.
        radius: largest distance of a pair, in bits.
        limits: limits of the search; None: all pairs of groups up to 8,192.
    """
    limits = limits or _LIMITS
    groups = group(members, rank, hashes[members] & table_masks[table])
    small = groups.sizes <= limits.all_pairs
    parts = [_no_pairs(), _dense_pairs(hashes, rank, groups.take(~small), radius, limits)]
    for a, b in pair_blocks(groups.take(small), limits.pairs):
        difference = hashes[a] ^ hashes[b]
        rows = np.flatnonzero(np.bitwise_count(difference) <= radius)
        difference = difference[rows]
        for earlier in table_masks[:table]:
            new = (difference & earlier) != 0
            rows, difference = rows[new], difference[new]
        parts.append((a[rows], b[rows], np.bitwise_count(difference)))
    a, b, bits = (np.concatenate(column) for column in zip(*parts, strict=True))
    return a, b, bits


def _dense_pairs(
    hashes: UInt64Array, rank: Int64Array, groups: Groups, radius: int, limits: Limits
) -> Pairs:
    """Join the members of large groups so that their components are those of all pairs.

    A few centres join most of a dense group at little cost; then only members of different components are compared, a
    block at a time.
    """

    def match(a: Int64Array, b: Int64Array) -> Matches:
        bits = distance(hashes[a], hashes[b])
        within = bits <= radius
        value = np.stack([bits[within], bits[within]], axis=1).astype(float)
        return Matches(a[within], b[within], value)

    parts = [_no_pairs()]
    for members in groups:
        few = replace(limits, comparisons=_CENTRES * len(members))
        one_group = Groups(members, np.array([0, len(members)]))
        star, _ = search(one_group, rank, match, None, few)
        by_row = np.argsort(members)
        a, b = (by_row[np.searchsorted(members, x, sorter=by_row)] for x in (star.a, star.b))
        label = connected(a, b, len(members))
        a, b = (members[x] for x in _across(hashes[members], label, radius, limits.pairs))
        parts += [
            (star.a, star.b, star.value[:, 0].astype(np.uint8)),
            (a, b, distance(hashes[a], hashes[b])),
        ]
    a, b, bits = (np.concatenate(column) for column in zip(*parts, strict=True))
    return a, b, bits


def _across(
    hashes: UInt64Array, label: Int64Array, radius: int, limit: int
) -> tuple[Int64Array, Int64Array]:
    """Pairs within the radius that join components, until none is left.

    Args:
        hashes: uint64 (n,).
        label: int64 (n,), the smallest row of each row's component so far.
        radius: largest distance of a pair, in bits.
        limit: pairs compared at once.
    """
    order = np.argsort(label, kind="stable")
    hashes, label = hashes[order], label[order]
    component_end = np.searchsorted(label, label, side="right")
    height = max(1, int(limit**0.5))
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for start in range(0, len(order), height):
        rows = slice(start, start + height)
        for left in range(int(component_end[start]), len(order), height):
            columns = slice(left, left + height)
            if (label[rows] == label[start]).all() and (label[columns] == label[start]).all():
                continue
            within = distance(hashes[rows, None], hashes[None, columns]) <= radius
            a, b = np.nonzero(within & (label[rows, None] != label[None, columns]))
            if not len(a):
                continue
            a, b = a + start, b + left
            _, first = np.unique(label[a] * len(order) + label[b], return_index=True)
            a, b = a[first], b[first]
            parts.append((order[a], order[b]))
            label = connected(label[a], label[b], len(order))[label]
    a, b = (np.concatenate(column) for column in zip(*parts, strict=True))
    return a, b


def _no_pairs() -> Pairs:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
