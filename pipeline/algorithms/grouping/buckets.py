"""Search of buckets: the matching pairs inside groups of rows that share a key.

Rows 0..n-1 are ranked by preference. Groups are compared pair by pair. A large one is first split by further keys, if
the comparison has any. In a group that is still larger than a limit each member is compared with the most preferred
ones alone: of duplicates they are the ones that stay. Which members that leaves with a pair not compared is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xxhash

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.order import by_uid, check_uid

MOST_EDGES = 128
"""Edges to preferred samples that a search keeps of each sample; those to the most preferred."""


@dataclass(frozen=True)
class Limits:
    """Limits of a bucket's search: of its completeness and of its memory."""

    few: int = 128
    """Most members of a group that is compared with others of its kind at once, and not split."""
    every: int = 1 << 12
    """Most members of a group that is compared pair by pair."""
    first: int = 1 << 9
    """Preferred members of a larger group that each is compared with."""
    pairs: int = 1 << 19
    """Most pairs held at once, about 100 bytes each."""


@dataclass(frozen=True)
class Groups:
    """Groups of two or more rows: members int64 (m,), by group and rank; offsets int64 (g + 1,)."""

    members: Int64Array
    offsets: Int64Array

    @property
    def sizes(self) -> Int64Array:
        """Members of each group: int64 (g,)."""
        return np.diff(self.offsets)

    def take(self, chosen: BoolArray) -> "Groups":
        """Select the groups for which `chosen`, bool (g,), is true."""
        sizes = self.sizes
        members = self.members[np.repeat(chosen, sizes)]
        return Groups(members, np.concatenate([[0], np.cumsum(sizes[chosen])]))

    def __iter__(self) -> Iterator[Int64Array]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.members[start:stop]


@dataclass(frozen=True)
class Matches:
    """Verified pairs: a and b int64 (p,) rows, value float64 (p, 2)."""

    a: Int64Array
    b: Int64Array
    value: Float64Array

    def take(self, chosen: Int64Array) -> "Matches":
        """Select pairs by their positions (k,)."""
        return Matches(self.a[chosen], self.b[chosen], self.value[chosen])

    @classmethod
    def concat(cls, parts: "list[Matches]") -> "Matches":
        """Concatenate several arrays of pairs."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(part.a for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.b for part in parts)]),
            np.concatenate([np.empty((0, 2)), *(part.value for part in parts)]),
        )


Match = Callable[[Int64Array, Int64Array], Matches]
"""Rows a (p,) and b (p,) -> the pairs that match, each in the order (a, b) of the call."""
Split = Callable[[Int64Array], Iterator[UInt64Array]]
"""Members (m,) of a large group -> their keys, a table at a time; a matching pair shares the key of some table."""


def repeated(keys: UInt64Array) -> BoolArray:
    """Mark keys that occur more than once: bool (m,).

    Most band keys occur once. A table of slots excludes those without sorting them; only keys that share a slot are
    sorted. The table takes 16 to 32 bytes a key.
    """
    slots = 1 << max(4, (4 * len(keys) - 1).bit_length())
    slot = (keys & np.uint64(slots - 1)).astype(np.int64)
    last = np.empty(slots, dtype=np.int32 if len(keys) < 2**31 else np.int64)
    last[slot] = np.arange(len(keys), dtype=last.dtype)
    # Every row of a slot but the last reads another row's number there.
    shared_slot = np.zeros(slots, dtype=bool)
    shared_slot[slot[last[slot] != np.arange(len(keys))]] = True
    rows = np.flatnonzero(shared_slot[slot])
    order = rows[np.argsort(keys[rows])]
    same = keys[order[1:]] == keys[order[:-1]]
    result = np.zeros(len(keys), dtype=bool)
    result[order[1:][same]] = True
    result[order[:-1][same]] = True
    return result


def uid_rank(uid: UInt64Array) -> Int64Array:
    """Rank of each uid among all, from 0: int64 (n,).

    Args:
        uid: uint64 (n, 2), high half first.

    Raises:
        ValueError: two rows with the same uid, between which no tie could be decided.
    """
    check_uid(uid)
    order = by_uid(uid)
    same = np.flatnonzero((uid[order[1:]] == uid[order[:-1]]).all(axis=1))
    if len(same):
        first = order[same[0] : same[0] + 2]
        raise ValueError(f"rows {first[0]} and {first[1]} have the same uid: drop one of them")
    ranks = np.empty(len(uid), dtype=np.int64)
    ranks[order] = np.arange(len(uid))
    return ranks


def firsts(rank: Int64Array, *keys: UInt64Array) -> Int64Array:
    """Row of the smallest rank for each distinct combination of keys (n,): int64, sorted by keys."""
    order = np.lexsort((rank, *keys))
    return order[_key_starts(order, keys)]


def _key_starts(order: Int64Array, keys: tuple[UInt64Array, ...]) -> BoolArray:
    """Mark positions of this order whose keys differ from those before."""
    starts = np.zeros(len(order), dtype=bool)
    starts[:1] = True
    for key in keys:
        ordered = key[order]
        starts[1:] |= ordered[1:] != ordered[:-1]
    return starts


def group(members: Int64Array, rank: Int64Array, *keys: UInt64Array) -> Groups:
    """Group rows by equal keys, without groups of one.

    Args:
        members: int64 (m,), rows; a row may have several keys.
        rank: int64 (n,), each row's, unique.
        keys: uint64 arrays (m,), all of which must be equal; first the one with the most distinct keys.
    """
    shared = repeated(keys[0])
    members, keys = members[shared], tuple(key[shared] for key in keys)
    order = np.lexsort((rank[members], *keys))
    starts = np.flatnonzero(_key_starts(order, keys))
    groups = Groups(members[order], np.append(starts, len(order)))
    return groups.take(groups.sizes > 1)


def stars(groups: Groups) -> tuple[Int64Array, Int64Array]:
    """Pair the first member of each group with each of the others: two int64 arrays."""
    sizes = groups.sizes
    centre = np.repeat(groups.members[groups.offsets[:-1]], sizes - 1)
    others = np.ones(len(groups.members), dtype=bool)
    others[groups.offsets[:-1]] = False
    return centre, groups.members[others]


def pair_blocks(
    groups: Groups, limit: int, together: bool = False
) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Yield all pairs of all groups in blocks of about `limit` pairs, or those of one member if they are more.

    Args:
        groups: by `group`.
        limit: pairs of a block.
        together: put the pairs of a member from all its groups side by side, so that a pair that is in several groups
            is repeated inside one block (unless the block ends there).
    """
    stops = np.repeat(groups.offsets[1:], groups.sizes)
    position = np.arange(len(groups.members))
    if together:
        position = np.argsort(groups.members, kind="stable")
        stops = stops[position]
    partners = stops - position - 1
    ends = np.cumsum(partners)
    start = 0
    while start < len(position):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + limit, side="right")), start + 1)
        count = partners[start:stop]
        first = np.repeat(position[start:stop], count)
        within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        yield groups.members[first], groups.members[first + 1 + within]
        start = stop


def search(
    groups: Groups, rank: Int64Array, match: Match, split: Split | None, limits: Limits
) -> tuple[Matches, Int64Array]:
    """Find the matching pairs of all groups.

    Args:
        groups: by `group`.
        rank: int64 (n,), each row's, unique.
        match: the comparison; called with about `limits.pairs` pairs at most.
        split: keys that split a large group; None if the comparison has none.
        limits: see `Limits`.

    Returns:
        The pairs, unordered and possibly repeated; and the rows some of whose pairs were left out, int64.
    """
    small = groups.sizes <= limits.few
    # Near copies share many bands: their pairs come together, so that `match` can compare each once.
    matches = [match(a, b) for a, b in pair_blocks(groups.take(small), limits.pairs, together=True)]
    left_out = [np.empty(0, np.int64)]
    for members in _without_repeats(groups.take(~small), set()):
        for part in [members] if split is None else _tables(members, rank, split):
            for a, b in first_pairs(part, limits):
                found = match(a, b)
                first = first_edges(rank[found.a], rank[found.b])
                left_out.append(np.delete(found.b, first))
                matches.append(found.take(first))
            if len(part) > limits.every:
                left_out.append(part[limits.first :])
    return Matches.concat(matches), np.unique(np.concatenate(left_out))


def first_edges(first: Int64Array, second: Int64Array, most: int = MOST_EDGES) -> Int64Array:
    """Positions of the edges that are kept of many: of each sample those to its most preferred neighbours, int64.

    A sample with more preferred neighbours than that is near copies' copy, and the most preferred of them lead.

    Args:
        first: int64 (m,), rank of the preferred end of each edge.
        second: int64 (m,), rank of the other end.
        most: edges to preferred samples that a sample keeps.
    """
    if len(second) <= most:
        return np.arange(len(second))
    order = np.lexsort((first, second))
    ordered = second[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(new)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return np.sort(order[place < most])


def first_pairs(members: Int64Array, limits: Limits) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Yield all pairs of a group's members, by rank; of a large group those with one of its first members."""
    most = len(members) if len(members) <= limits.every else limits.first
    width = max(1, limits.pairs // most)
    for start in range(0, len(members), width):
        stop = min(start + width, len(members))
        first, second = np.meshgrid(np.arange(min(most, stop)), np.arange(start, stop))
        before = first < second
        yield members[first[before]], members[second[before]]


def _without_repeats(groups: Groups, seen: set[bytes]) -> Iterator[Int64Array]:
    """Yield groups whose digest is not in ``seen``, and add it: the same members may share many bands."""
    for members in groups:
        digest = xxhash.xxh3_128_digest(members.tobytes())
        if digest not in seen:
            seen.add(digest)
            yield members


def _tables(members: Int64Array, rank: Int64Array, split: Split) -> Iterator[Int64Array]:
    """Yield the groups of a large group under each of its tables' keys."""
    seen: set[bytes] = set()
    for keys in split(members):
        # Equal pictures share the key of every table: once is enough.
        yield from _without_repeats(group(members, rank, keys), seen)
