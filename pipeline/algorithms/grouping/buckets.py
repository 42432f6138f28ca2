"""Searching buckets: which members of a group are pairs, without comparing all with all.

Members are rows 0..n-1 ranked by uid, groups are runs of members that share a key. A small group
is compared pair by pair. A large one is first split by further keys, where the comparison offers
any. What stays large is searched whole where the comparison knows how (`connecting`); else with
centres: members elect a few, in the order of their rank; each centre is compared with *every* member;
whoever matched is done, and the rest elect again. Only pairs of two members that both matched other
centres can be missed then, and each further table is another chance for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import xxhash

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.order import check_uid


@dataclass(frozen=True)
class Limits:
    """Where a bucket's search stops being exhaustive, and how much it holds at once."""

    all_pairs: int = 128
    """Groups of at most this many members are compared pair by pair."""
    comparisons: int = 1 << 30
    """Pairs of one large group that may be looked at before the rest is given up."""
    pairs: int = 1 << 19
    """Pairs held at once, about 100 bytes each."""


@dataclass(frozen=True)
class Groups:
    """Groups of two or more: members int64 (m,), by group and rank; offsets int64 (g + 1,)."""

    members: Int64Array
    offsets: Int64Array

    @property
    def sizes(self) -> Int64Array:
        """Members of each group: int64 (g,)."""
        return np.diff(self.offsets)

    def take(self, chosen: BoolArray) -> "Groups":
        """Only the groups for which `chosen`, bool (g,), is true."""
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

    @classmethod
    def joined(cls, parts: "list[Matches]") -> "Matches":
        """All pairs of several."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(part.a for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.b for part in parts)]),
            np.concatenate([np.empty((0, 2)), *(part.value for part in parts)]),
        )


Match = Callable[[Int64Array, Int64Array], Matches]
"""Compares pairs of rows, and gives those that hold, each as (a, b) as it was asked for."""
Split = Callable[[Int64Array], Iterator[UInt64Array]]
"""Keys for the members of a large group, a table at a time; a pair that holds shares one of them."""


Whole = Callable[[Int64Array], tuple[Matches, int]]
"""Searches a large group, members by rank: pairs with its components, and how many members are left unsearched."""


def repeated(keys: UInt64Array) -> BoolArray:
    """Mark keys that stand more than once: bool (m,).

    Most band keys stand alone. A table of slots sets those aside without sorting them; only what
    shares a slot is sorted. The table takes 16 to 32 bytes a key.
    """
    slots = 1 << max(4, (4 * len(keys) - 1).bit_length())
    slot = (keys & np.uint64(slots - 1)).astype(np.int64)
    last = np.empty(slots, dtype=np.int32 if len(keys) < 2**31 else np.int64)
    last[slot] = np.arange(len(keys), dtype=last.dtype)
    # Every row but the last of a slot reads another row's number there.
    crowded = np.zeros(slots, dtype=bool)
    crowded[slot[last[slot] != np.arange(len(keys))]] = True
    rows = np.flatnonzero(crowded[slot])
    order = rows[np.argsort(keys[rows])]
    same = keys[order[1:]] == keys[order[:-1]]
    result = np.zeros(len(keys), dtype=bool)
    result[order[1:][same]] = True
    result[order[:-1][same]] = True
    return result


def uid_rank(uid: UInt64Array) -> Int64Array:
    """Place of each uid among all: int64 (n,), from uids of shape (n, 2), high half first.

    Raises:
        ValueError: two rows have the same uid, so that ties between them could not be settled.
    """
    check_uid(uid)
    order = np.argsort(uid[:, 0])
    high = uid[order, 0]
    if (high[1:] == high[:-1]).any():
        # Uids are hashes, so that the first halves tell nearly all apart.
        order = np.lexsort((uid[:, 1], uid[:, 0]))
    same = np.flatnonzero((uid[order[1:]] == uid[order[:-1]]).all(axis=1))
    if len(same):
        first = order[same[0] : same[0] + 2]
        raise ValueError(f"rows {first[0]} and {first[1]} have the same uid; uids must be unique")
    ranks = np.empty(len(uid), dtype=np.int64)
    ranks[order] = np.arange(len(uid))
    return ranks


def firsts(rank: Int64Array, *keys: UInt64Array) -> Int64Array:
    """Row of the smallest rank for each distinct combination of keys: int64, sorted by keys."""
    order = np.lexsort((rank, *keys))
    return order[_fresh(order, keys)]


def _fresh(order: Int64Array, keys: tuple[UInt64Array, ...]) -> BoolArray:
    """Mark where, in this order, the keys differ from those before."""
    fresh = np.zeros(len(order), dtype=bool)
    fresh[:1] = True
    for key in keys:
        ordered = key[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    return fresh


def group(members: Int64Array, rank: Int64Array, *keys: UInt64Array) -> Groups:
    """Group rows by equal keys; groups of one are left out.

    Args:
        members: int64 (m,), rows; a row may stand under several keys.
        rank: int64 (n,), the place of each row's uid among all uids.
        keys: uint64 arrays (m,) that all must agree; the first the most telling.
    """
    shared = repeated(keys[0])
    members, keys = members[shared], tuple(key[shared] for key in keys)
    order = np.lexsort((rank[members], *keys))
    starts = np.flatnonzero(_fresh(order, keys))
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
    """Yield all pairs of all groups, about `limit` at a time (or one member's).

    Args:
        groups: as `group` gives them.
        limit: pairs a block.
        together: a pair that stands in several groups comes as often in one block, but where a block ends.
    """
    stops = np.repeat(groups.offsets[1:], groups.sizes)
    place = np.arange(len(groups.members))
    if together:
        place = np.argsort(groups.members, kind="stable")
        stops = stops[place]
    partners = stops - place - 1
    ends = np.cumsum(partners)
    start = 0
    while start < len(place):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + limit, side="right")), start + 1)
        count = partners[start:stop]
        first = np.repeat(place[start:stop], count)
        within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        yield groups.members[first], groups.members[first + 1 + within]
        start = stop


def search(
    groups: Groups,
    rank: Int64Array,
    match: Match,
    split: Split | None,
    limits: Limits,
    whole: Whole | None = None,
) -> tuple[Matches, int]:
    """Find the pairs of all groups.

    Args:
        groups: as `group` gives them.
        rank: int64 (n,), the place of each row's uid among all uids.
        match: the comparison; called with at most `limits.pairs` pairs (or one centre's).
        split: keys that split a large group; None where the comparison has none.
        limits: see there.
        whole: how a group that is still large is searched; None: by centres.

    Returns:
        The pairs, unordered and possibly repeated, and how many members of all groups were left
        unsearched because `limits.comparisons` was reached: 0 in all but degenerate data.
    """
    small = groups.sizes <= limits.all_pairs
    # Near copies meet in many bands.
    found = [match(a, b) for a, b in pair_blocks(groups.take(small), limits.pairs, together=True)]
    unsearched = 0
    whole = whole or partial(_centres, match=match, limits=limits)
    for members in _each_once(groups.take(~small), set()):
        if split is None:
            pairs, left = whole(members)
        else:
            pairs, left = _tables(members, rank, match, split, limits, whole)
        found.append(pairs)
        unsearched += left
    return Matches.joined(found), unsearched


def _each_once(groups: Groups, seen: set[bytes]) -> Iterator[Int64Array]:
    """Groups that are not among those ``seen``, which they join: captions may share many bands."""
    for members in groups:
        name = xxhash.xxh3_128_digest(members.tobytes())
        if name not in seen:
            seen.add(name)
            yield members


def _tables(
    members: Int64Array,
    rank: Int64Array,
    match: Match,
    split: Split,
    limits: Limits,
    whole: Whole,
) -> tuple[Matches, int]:
    """Search a large group under each of its tables' keys."""
    found: list[Matches] = []
    unsearched = 0
    seen: set[bytes] = set()
    for keys in split(members):
        groups = group(members, rank, keys)
        small = groups.sizes <= limits.all_pairs
        found += [match(a, b) for a, b in pair_blocks(groups.take(small), limits.pairs)]
        # Equal pictures meet in every table: once is enough.
        for large in _each_once(groups.take(~small), seen):
            pairs, left = whole(large)
            found.append(pairs)
            unsearched += left
    return Matches.joined(found), unsearched


def _centres(members: Int64Array, match: Match, limits: Limits) -> tuple[Matches, int]:
    """Search one large group until every member is a centre or matched one.

    The number of centres doubles from 1 to 256 a turn, so that a group of one kind costs one
    comparison a member, and a group of many kinds few turns.
    """
    found: list[Matches] = []
    place = np.arange(len(members))
    by_row = np.argsort(members)
    elected = np.zeros(len(members), dtype=bool)
    waiting = np.ones(len(members), dtype=bool)
    compared, turn = 0, 1
    while waiting.any() and compared < limits.comparisons:
        centres = np.flatnonzero(waiting)[:turn]
        elected[centres] = True
        waiting[centres] = False
        width = max(1, limits.pairs // len(centres))
        for start in range(0, len(members), width):
            a, b = np.meshgrid(centres, place[start : start + width], indexing="ij")
            # Centres are elected in order, so an earlier one has met this centre already.
            new = (b > a) | ((b < a) & ~elected[b])
            matches = match(members[a[new]], members[b[new]])
            waiting[by_row[np.searchsorted(members, matches.b, sorter=by_row)]] = False
            found.append(matches)
        compared += len(centres) * len(members)
        turn = min(turn * 2, 256)
    return Matches.joined(found), int(np.count_nonzero(waiting))
