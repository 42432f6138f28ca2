"""Near-duplicate pictures by perceptual hash: all pairs of 64-bit hashes within a Hamming radius.

Manku, Jain and Das Sarma (WWW 2007): part the 64 bits into radius + k chunks; two hashes within
the radius differ in at most `radius` chunks, so they agree wholly in some k of them. Each choice
of k chunks is a mask and a table; hashes that are equal under a mask are compared. No pair is
missed; in groups so dense that their pairs are too many, no pair that joins two components is.
Larger k means more tables with smaller groups.
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

# Building and sorting a table costs about as much a hash as comparing this many pairs.
_TABLE_COST = 10
_MOST_TABLES = 1000

# All pairs of larger groups are too many to keep: of those only what joins components is kept.
_LIMITS = Limits(all_pairs=1 << 13)
# Centres that a large group elects before its components are compared with each other.
_CENTRES = 256


def distance(a: UInt64Array, b: UInt64Array) -> UInt8Array:
    """Count the bits in which hashes differ: uint8, 0 to 64, by NumPy's broadcasting rules."""
    return np.asarray(np.bitwise_count(a ^ b), dtype=np.uint8)


def masks(n: int, radius: int) -> UInt64Array:
    """Choose the tables' masks: uint64 (tables,), from the cost of n evenly spread hashes.

    Args:
        n: how many hashes will be compared; only the speed depends on it, never the pairs.
        radius: largest distance that counts, 0 to 63.

    Raises:
        ValueError: radius outside 0 to 63.
    """
    if not 0 <= radius < BITS:
        raise ValueError(f"Hamming radius {radius}; give 0 to {BITS - 1} of {BITS} bits")
    if radius == 0:
        return np.array([2**BITS - 1], dtype=np.uint64)
    return _masks(radius, min(range(1, BITS - radius + 1), key=lambda k: _cost(n, radius, k)))


def _cost(n: int, radius: int, chosen: int) -> float:
    tables = comb(radius + chosen, chosen)
    if chosen > 1 and tables > _MOST_TABLES:
        return float("inf")
    same: float = n * 0.5 ** (BITS * chosen / (radius + chosen))
    return tables * (_TABLE_COST + same / 2)


def _masks(radius: int, chosen: int) -> UInt64Array:
    # Chunks interleave: neighbouring bits of a perceptual hash are neighbouring frequencies.
    parts = radius + chosen
    chunks = [sum(1 << bit for bit in range(part, BITS, parts)) for part in range(parts)]
    return np.array([sum(pick) for pick in combinations(chunks, chosen)], dtype=np.uint64)


def pairs(
    hashes: UInt64Array, uid: UInt64Array, radius: int, limits: Limits | None = None
) -> Pairs:
    """Find the pairs of pictures whose hashes differ in at most `radius` bits.

    All rows with one hash are joined to the one with the smallest uid, so that a million equal
    pictures are a million edges; between distinct hashes every pair within the radius is given,
    as the pair of their smallest uids. The components are those of all pairs.

    Args:
        hashes: uint64 (n,).
        uid: uint64 (n, 2), unique.
        radius: largest distance that counts, in bits.
        limits: how many pairs are compared at once.

    Returns:
        (a, b, distance), rows sorted by uid with uid[a] < uid[b]: the same pairs of uids for any
        order of the rows.
    """
    rank = uid_rank(uid)
    centre, other = stars(group(np.arange(len(hashes)), rank, hashes))
    distinct = firsts(rank, hashes)
    chosen = masks(len(distinct), radius)
    found: list[Pairs] = [(centre, other, np.zeros(len(centre), dtype=np.uint8))]
    found += [
        table_pairs(hashes, rank, distinct, chosen, table, radius, limits)
        for table in range(len(chosen))
    ]
    a, b, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    _, order = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    return a[order], b[order], bits[order]


def table_pairs(
    hashes: UInt64Array,
    rank: Int64Array,
    members: Int64Array,
    chosen: UInt64Array,
    table: int,
    radius: int,
    limits: Limits | None = None,
) -> Pairs:
    """Find the pairs that table number `table` is the first to bring together.

    Tables, and within a table the rows of one key, are independent: partitions by (table,
    hashes & chosen[table]) can be worked on apart, and no pair is found twice, but for groups above
    `limits.all_pairs`: of a group so dense only the pairs that make its components are kept.

    Args:
        hashes: uint64 (n,).
        rank: int64 (n,), each row's place by uid.
        members: int64 (m,), rows with distinct hashes.
        chosen: uint64 (tables,), as `masks` gives them.
        table: which of them.
        radius: largest distance that counts.
        limits: what is compared pair by pair, and how much at once.
    """
    limits = limits or _LIMITS
    groups = group(members, rank, hashes[members] & chosen[table])
    small = groups.sizes <= limits.all_pairs
    found = [_no_pairs(), _dense_pairs(hashes, rank, groups.take(~small), radius, limits)]
    for a, b in pair_blocks(groups.take(small), limits.pairs):
        differ = hashes[a] ^ hashes[b]
        near = np.flatnonzero(np.bitwise_count(differ) <= radius)
        differ = differ[near]
        for earlier in chosen[:table]:
            keep = (differ & earlier) != 0
            near, differ = near[keep], differ[keep]
        found.append((a[near], b[near], np.bitwise_count(differ)))
    a, b, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return a, b, bits


def _dense_pairs(
    hashes: UInt64Array, rank: Int64Array, groups: Groups, radius: int, limits: Limits
) -> Pairs:
    """Join the members of large groups so that their components are those of all pairs.

    A few centres join most of a dense group at little cost; then only members of different
    components are still compared, a block at a time.
    """

    def match(a: Int64Array, b: Int64Array) -> Matches:
        bits = distance(hashes[a], hashes[b])
        near = bits <= radius
        return Matches(a[near], b[near], np.stack([bits[near], bits[near]], axis=1).astype(float))

    found = [_no_pairs()]
    for members in groups:
        few = replace(limits, comparisons=_CENTRES * len(members))
        group_alone = Groups(members, np.array([0, len(members)]))
        centred, _ = search(group_alone, rank, match, None, few)
        by_row = np.argsort(members)
        a, b = (by_row[np.searchsorted(members, x, sorter=by_row)] for x in (centred.a, centred.b))
        label = connected(a, b, len(members))
        a, b = (members[x] for x in _across(hashes[members], label, radius, limits.pairs))
        found += [
            (centred.a, centred.b, centred.value[:, 0].astype(np.uint8)),
            (a, b, distance(hashes[a], hashes[b])),
        ]
    a, b, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return a, b, bits


def _across(
    hashes: UInt64Array, label: Int64Array, radius: int, limit: int
) -> tuple[Int64Array, Int64Array]:
    """Pairs within the radius that join components, until no such pair lies between two.

    Args:
        hashes: uint64 (n,).
        label: int64 (n,), the component of each so far, named by its smallest row.
        radius: largest distance that counts.
        limit: pairs compared at once.
    """
    order = np.argsort(label, kind="stable")
    hashes, label = hashes[order], label[order]
    run_end = np.searchsorted(label, label, side="right")
    height = max(1, int(limit**0.5))
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for start in range(0, len(order), height):
        rows = slice(start, start + height)
        for left in range(int(run_end[start]), len(order), height):
            columns = slice(left, left + height)
            if (label[rows] == label[start]).all() and (label[columns] == label[start]).all():
                continue
            near = distance(hashes[rows, None], hashes[None, columns]) <= radius
            a, b = np.nonzero(near & (label[rows, None] != label[None, columns]))
            if not len(a):
                continue
            a, b = a + start, b + left
            _, first = np.unique(label[a] * len(order) + label[b], return_index=True)
            a, b = a[first], b[first]
            found.append((order[a], order[b]))
            label = connected(label[a], label[b], len(order))[label]
    a, b = (np.concatenate(part) for part in zip(*found, strict=True))
    return a, b


def _no_pairs() -> Pairs:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
