"""Who meets whom in a large bucket: lists of members under keys, each of whom asks others within its reach."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int32Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import repeated
from tamis.pipeline.algorithms.near_captions.prefix_filter import prefixes
from tamis.pipeline.algorithms.near_captions.shingles import Shingles

# Records that are sorted and asked together, but for those of one key.
_RECORDS = 1 << 20
# To sort a record costs about as much as so many pairs.
_RECORD_COST = 8


@dataclass(frozen=True)
class Meeting:
    """Records of members under keys: two that can be alike stand under one key and reach each other.

    Args:
        at: int32 (r,), the member.
        key: uint64 (r,), sorted.
        size: int32 (r,), of the member's set.
        reach: int32 (r,), the largest size of a set that it can be like under this key.
        asks: bool (r,), whether it has to ask those of its own size or larger.
    """

    at: Int32Array
    key: UInt64Array
    size: Int32Array
    reach: Int32Array
    asks: BoolArray

    @classmethod
    def of_prefixes(cls, sets: Shingles, caption: Int64Array, threshold: float) -> "Meeting":
        """Members meet under the early shingles of their captions, the rarest first.

        Args:
            sets: shingle sets, as `text.shingle_sets` gives them.
            caption: int64 (m,), each member's place in `sets`.
            threshold: least Jaccard similarity.
        """
        captions, of_member = np.unique(caption, return_inverse=True)
        early = prefixes(sets, captions, threshold)
        # Every member of a caption has the caption's shingles.
        members = np.argsort(of_member, kind="stable").astype(np.int32)
        count = np.bincount(of_member, minlength=len(captions))
        starts = np.cumsum(count) - count
        several = count[early.place] > 1
        shared = repeated(early.key) | several
        place, key, reach = early.place[shared], early.key[shared], early.reach[shared]
        each = count[place]
        within = np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)
        at, key = members[np.repeat(starts[place], each) + within], np.repeat(key, each)
        order = np.lexsort((at, key))
        size = np.repeat(sets.sizes[captions][place].astype(np.int32), each)
        reach = np.repeat(reach, each)
        return cls(at[order], key[order], size[order], reach[order], (reach >= size)[order])

    @classmethod
    def of_keys(cls, keys: UInt64Array) -> "Meeting":
        """Members meet whose keys, uint64 (m,), are equal: whatever they are like."""
        at = np.flatnonzero(repeated(keys))
        at = at[np.argsort(keys[at], kind="stable")]
        none = np.zeros(len(at), dtype=np.int32)
        return cls(at.astype(np.int32), keys[at], none, none, np.ones(len(at), dtype=bool))

    @classmethod
    def of_all(cls, members: int) -> "Meeting":
        """All members meet."""
        return cls.of_keys(np.zeros(members, dtype=np.uint64))

    def cost(self, label: Int64Array) -> int:
        """Pairs that would be looked at, and what the records themselves cost."""
        pairs = sum(part.lists(label).asked for part in self.parts())
        return pairs + _RECORD_COST * len(self.at)

    def parts(self) -> Iterator["Meeting"]:
        """Whole lists together, in the order of their keys."""
        start = 0
        while start < len(self.at):
            stop = min(start + _RECORDS, len(self.at))
            if stop < len(self.at):
                low, high = np.searchsorted(self.key, self.key[stop]), stop
                high = np.searchsorted(self.key, self.key[stop], side="right")
                stop = int(low) if low > start else int(high)
            yield self.take(np.arange(start, stop))
            start = stop

    def lists(self, label: Int64Array) -> "Lists":
        """Arrange the records for asking, without keys under which there is one component only.

        Args:
            label: int64 (m,), each member's component.
        """
        here = label[self.at]
        starts = np.flatnonzero(np.diff(self.key, prepend=~self.key[:1]))
        if not len(starts):
            return Lists(self, np.zeros(0, dtype=bool))
        sizes = np.diff(starts, append=len(here))
        several = np.minimum.reduceat(here, starts) != np.maximum.reduceat(here, starts)
        several &= np.logical_or.reduceat(self.asks, starts)
        kept = np.flatnonzero(np.repeat(several, sizes))
        minor = here[kept] != _most_common(self.key[kept], here[kept])
        order = np.lexsort((self.size[kept], minor, self.key[kept]))
        return Lists(self.take(kept[order]), minor[order])

    def take(self, rows: Int64Array) -> "Meeting":
        """Some of the records."""
        return Meeting(
            self.at[rows], self.key[rows], self.size[rows], self.reach[rows], self.asks[rows]
        )


def _most_common(key: UInt64Array, label: Int64Array) -> Int64Array:
    """The label that most records of each record's key have (of several the last): keys are sorted."""
    if not len(key):
        return label
    order = np.lexsort((label, key))
    new_key = np.flatnonzero(np.diff(key, prepend=~key[:1]))
    ordered = label[order]
    new = np.ones(len(key), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (key[1:] != key[:-1])
    runs = np.flatnonzero(new)
    length = np.diff(runs, append=len(key))
    of_key = np.searchsorted(new_key, runs, side="right") - 1
    most = np.empty(len(new_key), dtype=np.int64)
    longest = np.argsort(length, kind="stable")
    most[of_key[longest]] = ordered[runs[longest]]
    sizes = np.diff(new_key, append=len(key))
    return np.repeat(most, sizes)


class Lists:
    """Records by key, the key's largest component before all others, and size; each asks larger sets in its reach.

    The members of the largest component ask only the others; those ask everybody.
    """

    def __init__(self, records: Meeting, minor: BoolArray) -> None:
        self._records = records
        self.at = records.at
        size, reach = records.size.astype(np.int64), records.reach.astype(np.int64)
        self.asking = np.flatnonzero(records.asks)
        """Records that ask, int64, in the order in which they do."""
        key = np.cumsum(np.diff(records.key, prepend=records.key[:1]) != 0)
        width = int(size.max(initial=0)) + 2
        sorted_by = (2 * key + minor) * width + size
        key, apart, least = key[self.asking], minor[self.asking], size[self.asking]
        most = np.minimum(reach[self.asking], width - 2)
        # Of equal sizes in both parts of a list one asks.
        beside = (2 * key + ~apart) * width
        self._first = np.searchsorted(sorted_by, beside + least + ~apart)
        stop = np.searchsorted(sorted_by, beside + most, side="right")
        self._beside = np.maximum(stop - self._first, 0)
        stop = np.searchsorted(sorted_by, (2 * key + apart) * width + most, side="right")
        self._after = np.where(apart, np.maximum(stop - self.asking - 1, 0), 0)
        self._count = self._beside + self._after
        self._ends = np.cumsum(self._count)

    @property
    def asked(self) -> int:
        """Pairs, all together."""
        return int(self._count.sum())

    def block(self, start: int, limit: int) -> tuple[int, int]:
        """Where the block of about so many pairs that starts at this asking record ends, and its pairs."""
        before = int(self._ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(self._ends, before + limit, side="right")), start + 1)
        return stop, int(self._ends[stop - 1]) - before

    def pairs(self, start: int, stop: int) -> tuple[Int64Array, Int64Array]:
        """Pairs of members that reach each other, asked by these of the asking records."""
        count = self._count[start:stop]
        asker = np.repeat(np.arange(start, stop), count)
        within = np.arange(len(asker)) - np.repeat(np.cumsum(count) - count, count)
        beside = self._beside[asker]
        one = self.asking[asker]
        other = np.where(within < beside, self._first[asker] + within, one + 1 + (within - beside))
        able = self._records.reach[other] >= self._records.size[one]
        return self.at[one[able]].astype(np.int64), self.at[other[able]].astype(np.int64)

    def rest(self, start: int) -> Meeting:
        """The records, of which those that have asked do not ask again, but may still be asked."""
        asks = self._records.asks.copy()
        asks[self.asking[:start]] = False
        return replace(self._records, asks=asks)
