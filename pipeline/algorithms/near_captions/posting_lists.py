"""Candidate pairs of a large bucket by an inverted index: lists of members that share a key, which probe each other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int32Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import repeated
from tamis.pipeline.algorithms.near_captions.prefix_filter import prefixes
from tamis.pipeline.algorithms.near_captions.shingles import Shingles

# Records sorted and probed together; those of one key are never split.
_RECORDS = 1 << 20
# Pairs compared at the cost of sorting one record.
_RECORD_COST = 8


@dataclass(frozen=True)
class Postings:
    """Records (member, key) of an inverted index: two members that can be alike share a key and reach each other.

    Args:
        member: int32 (r,), position of the member in the bucket.
        key: uint64 (r,), sorted.
        size: int32 (r,), size of the member's set.
        reach: int32 (r,), size of the largest set that the member can be like under this key.
        probes: bool (r,), whether the record still has to be compared with those of its own size or larger.
    """

    member: Int32Array
    key: UInt64Array
    size: Int32Array
    reach: Int32Array
    probes: BoolArray

    @classmethod
    def of_prefixes(cls, sets: Shingles, caption: Int64Array, threshold: float) -> "Postings":
        """Records of the members under the first shingles of their captions, the rarest first.

        Args:
            sets: shingle sets, by `shingles.shingle_sets`.
            caption: int64 (m,), each member's row in `sets`.
            threshold: least Jaccard similarity of a pair.
        """
        captions, caption_of = np.unique(caption, return_inverse=True)
        early = prefixes(sets, captions, threshold)
        # Every member of a caption has the caption's shingles.
        members = np.argsort(caption_of, kind="stable").astype(np.int32)
        count = np.bincount(caption_of, minlength=len(captions))
        starts = np.cumsum(count) - count
        several = count[early.position] > 1
        shared = repeated(early.key) | several
        position, key, reach = early.position[shared], early.key[shared], early.reach[shared]
        each = count[position]
        within = np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)
        member, key = members[np.repeat(starts[position], each) + within], np.repeat(key, each)
        order = np.lexsort((member, key))
        size = np.repeat(sets.sizes[captions][position].astype(np.int32), each)
        reach = np.repeat(reach, each)
        return cls(member[order], key[order], size[order], reach[order], (reach >= size)[order])

    @classmethod
    def of_keys(cls, keys: UInt64Array) -> "Postings":
        """Records of the members under their keys, uint64 (m,): all members with equal keys reach each other."""
        member = np.flatnonzero(repeated(keys))
        member = member[np.argsort(keys[member], kind="stable")]
        zero = np.zeros(len(member), dtype=np.int32)
        probes = np.ones(len(member), dtype=bool)
        return cls(member.astype(np.int32), keys[member], zero, zero, probes)

    @classmethod
    def of_all(cls, members: int) -> "Postings":
        """Records of all members under one key."""
        return cls.of_keys(np.zeros(members, dtype=np.uint64))

    def cost(self, label: Int64Array) -> int:
        """Cost of a search across the components `label`, int64 (m,), in pairs; sorting the records counts too."""
        pairs = sum(part.lists(label).pair_count for part in self.parts())
        return pairs + _RECORD_COST * len(self.member)

    def parts(self) -> Iterator["Postings"]:
        """Yield parts of about _RECORDS records in the order of their keys, each with whole lists."""
        start = 0
        while start < len(self.member):
            stop = min(start + _RECORDS, len(self.member))
            if stop < len(self.member):
                low = np.searchsorted(self.key, self.key[stop])
                high = np.searchsorted(self.key, self.key[stop], side="right")
                stop = int(low) if low > start else int(high)
            yield self.take(np.arange(start, stop))
            start = stop

    def lists(self, label: Int64Array) -> "PostingLists":
        """Sort the records for probing, without keys whose members are all in one component.

        Args:
            label: int64 (m,), each member's component.
        """
        component = label[self.member]
        starts = np.flatnonzero(np.diff(self.key, prepend=~self.key[:1]))
        if not len(starts):
            return PostingLists(self, np.zeros(0, dtype=bool))
        sizes = np.diff(starts, append=len(component))
        several = np.minimum.reduceat(component, starts) != np.maximum.reduceat(component, starts)
        several &= np.logical_or.reduceat(self.probes, starts)
        rows = np.flatnonzero(np.repeat(several, sizes))
        minor = component[rows] != _most_common(self.key[rows], component[rows])
        order = np.lexsort((self.size[rows], minor, self.key[rows]))
        return PostingLists(self.take(rows[order]), minor[order])

    def take(self, rows: Int64Array) -> "Postings":
        """Select records by row, int64."""
        return Postings(
            self.member[rows], self.key[rows], self.size[rows], self.reach[rows], self.probes[rows]
        )


def _most_common(key: UInt64Array, label: Int64Array) -> Int64Array:
    """Most common label of each record's key, of several the last: int64 (r,); keys are sorted."""
    if not len(key):
        return label
    order = np.lexsort((label, key))
    new_key = np.flatnonzero(np.diff(key, prepend=~key[:1]))
    ordered = label[order]
    new = np.ones(len(key), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (key[1:] != key[:-1])
    starts = np.flatnonzero(new)
    length = np.diff(starts, append=len(key))
    key_of = np.searchsorted(new_key, starts, side="right") - 1
    most = np.empty(len(new_key), dtype=np.int64)
    by_length = np.argsort(length, kind="stable")
    most[key_of[by_length]] = ordered[starts[by_length]]
    sizes = np.diff(new_key, append=len(key))
    return np.repeat(most, sizes)


class PostingLists:
    """Lists of records by key, sorted by component and size; a record probes those of larger sets in its reach.

    The largest component of a key comes first and its members probe only other components; those probe all.

    Args:
        records: sorted by key, minor and size.
        minor: bool (r,), whether the record's member is outside its key's largest component.
    """

    def __init__(self, records: Postings, minor: BoolArray) -> None:
        self._records = records
        self.member = records.member
        size, reach = records.size.astype(np.int64), records.reach.astype(np.int64)
        self.probes = np.flatnonzero(records.probes)
        """Records that probe, int64 rows in their order."""
        key = np.cumsum(np.diff(records.key, prepend=records.key[:1]) != 0)
        width = int(size.max(initial=0)) + 2
        sorted_by = (2 * key + minor) * width + size
        key, minor, least = key[self.probes], minor[self.probes], size[self.probes]
        most = np.minimum(reach[self.probes], width - 2)
        # Of two equal sizes, one in each half of a list, only the minor one probes.
        other_half = (2 * key + ~minor) * width
        self._first = np.searchsorted(sorted_by, other_half + least + ~minor)
        stop = np.searchsorted(sorted_by, other_half + most, side="right")
        self._in_other = np.maximum(stop - self._first, 0)
        stop = np.searchsorted(sorted_by, (2 * key + minor) * width + most, side="right")
        in_own = np.where(minor, np.maximum(stop - self.probes - 1, 0), 0)
        self._count = self._in_other + in_own
        self._ends = np.cumsum(self._count)

    @property
    def pair_count(self) -> int:
        """Number of pairs of all probes."""
        return int(self._count.sum())

    def block(self, start: int, limit: int) -> tuple[int, int]:
        """End of a block of about `limit` pairs that starts at the probe `start`, and its number of pairs."""
        before = int(self._ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(self._ends, before + limit, side="right")), start + 1)
        return stop, int(self._ends[stop - 1]) - before

    def pairs(self, start: int, stop: int) -> tuple[Int64Array, Int64Array]:
        """Pairs of members that reach each other, of the probes from `start` to `stop`: two int64 arrays."""
        count = self._count[start:stop]
        probe = np.repeat(np.arange(start, stop), count)
        within = np.arange(len(probe)) - np.repeat(np.cumsum(count) - count, count)
        in_other = self._in_other[probe]
        a = self.probes[probe]
        b = np.where(within < in_other, self._first[probe] + within, a + 1 + (within - in_other))
        reached = self._records.reach[b] >= self._records.size[a]
        return self.member[a[reached]].astype(np.int64), self.member[b[reached]].astype(np.int64)

    def rest(self, start: int) -> Postings:
        """All records, without the probes before `start`: those are done, but later probes can still reach them."""
        probes = self._records.probes.copy()
        probes[self.probes[:start]] = False
        return replace(self._records, probes=probes)
