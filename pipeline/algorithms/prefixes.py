"""Which captions of a large bucket can be alike at all: exact bounds, where bands separate nothing.

Captions made from one template ("portrait of NAME, oil on canvas") share most shingles and so whole
bands, by the hundred thousand, and yet none need be like another. Two sets at Jaccard >= t share
a shingle among their rarest |x| - ceil(t |x|) + 1 (prefix filtering; Chaudhuri, Ganti and Kaushik,
ICDE 2006), and what is rare in such a bucket is what the template leaves open. And of the bits that
a set's shingles flip, no more differ between two sets than there are shingles that they do not share.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.algorithms.buckets import BoolArray, Groups, group
from pipeline.algorithms.hashing import UInt64Array
from pipeline.algorithms.text import Int64Array, Shingles, length_chunks

_CELLS = 1 << 18
_COUNTERS = 1 << 20
# A shingle's order is its count, in the upper bits, and then its hash.
_HASH_BITS = 40
_MOST = 2 ** (64 - _HASH_BITS) - 1
# 512 bits tell captions of up to a few hundred shingles apart.
_WORDS = 8
_RECORDS = 1 << 22
# Rounding must not make a prefix too short.
_SLACK = 1e-9


class Narrowed:
    """The members of one large group, and who of them can be alike.

    Args:
        sets: shingle sets, as `text.shingle_sets` gives them.
        caption: int64 (n,), each row's place in `sets`.
        threshold: least Jaccard similarity.
        members: int64 (m,), the group's rows by rank.
    """

    def __init__(
        self, sets: Shingles, caption: Int64Array, threshold: float, members: Int64Array
    ) -> None:
        self._sets, self._caption, self._threshold = sets, caption, threshold
        self._members = members
        self._captions, self._of_member = np.unique(caption[members], return_inverse=True)
        self._sizes = sets.sizes[self._captions]
        self._place, self._key = self._rarest()

    @property
    def pairs(self) -> int:
        """How many pairs of rows stand together in `groups`, each as often as it does."""
        samples = np.bincount(self._of_member, minlength=len(self._captions))
        order = np.argsort(self._key)
        key, samples = self._key[order], samples[self._place[order]]
        starts = np.flatnonzero(np.diff(key, prepend=~key[:1]))
        sizes = np.add.reduceat(samples, starts) if len(starts) else starts
        return int((sizes * (sizes - 1) // 2).sum())

    @cached_property
    def _flipped(self) -> list[UInt64Array]:
        """Each caption's bits, flipped once a shingle: _WORDS arrays uint64 (captions,)."""
        flipped = [np.zeros(len(self._captions), dtype=np.uint64) for _ in range(_WORDS)]
        for rows, inside, shingles in self._chunks():
            bit: NDArray[np.uint64] = np.uint64(1) << ((shingles >> np.uint64(20)) & np.uint64(63))
            word = (shingles >> np.uint64(26)) & np.uint64(_WORDS - 1)
            for number, held in enumerate(flipped):
                here = np.where(inside & (word == number), bit, np.uint64(0))
                held[rows] = np.bitwise_xor.reduce(here, axis=1)
        return flipped

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Say which pairs of the group's rows are not ruled out: bool (p,)."""
        x, y = (np.searchsorted(self._captions, self._caption[rows]) for rows in (a, b))
        differ = np.zeros(len(a), dtype=np.int64)
        for word in self._flipped:
            differ += np.bitwise_count(word[x] ^ word[y])
        both = self._sizes[x] + self._sizes[y]
        share = (1.0 - self._threshold) / (1.0 + self._threshold)
        possible: BoolArray = differ <= share * both + _SLACK
        return possible

    def groups(self) -> Iterator[Groups]:
        """Groups of rows: two that are alike stand together in one of them, at least."""
        place, key = self._place, self._key
        # Every row of a caption has the caption's rare shingles.
        rows = np.argsort(self._of_member, kind="stable")
        starts = np.searchsorted(self._of_member[rows], np.arange(len(self._captions) + 1))
        count = np.diff(starts)[place]
        within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        at = rows[np.repeat(starts[place], count) + within]
        key = np.repeat(key, count)
        parts = np.uint64(1 + len(key) // _RECORDS)
        rank = np.arange(len(self._members))
        for part in range(int(parts)):
            here = key % parts == part
            found = group(at[here], rank, key[here])
            yield Groups(self._members[found.members], found.offsets)

    def _chunks(self) -> Iterator[tuple[Int64Array, BoolArray, UInt64Array]]:
        """(captions (k,), which cells are there (k, w), their shingles (k, w)), captions of like size."""
        starts = self._sets.offsets[self._captions]
        for rows, width in length_chunks(self._sizes, _CELLS):
            column = np.arange(width)
            inside = column < self._sizes[rows, None]
            last = self._sizes[rows, None] - 1
            yield rows, inside, self._sets.hashes[starts[rows, None] + np.minimum(column, last)]

    def _rarest(self) -> tuple[Int64Array, UInt64Array]:
        """(caption, key) of each caption's rarest shingles, as many as its prefix has."""
        counts = np.zeros(_COUNTERS, dtype=np.int64)
        slot = np.uint64(_COUNTERS - 1)
        for _, inside, shingles in self._chunks():
            counts += np.bincount((shingles[inside] & slot).astype(np.int64), minlength=_COUNTERS)
        order = np.minimum(counts, _MOST).astype(np.uint64) << np.uint64(_HASH_BITS)
        places: list[Int64Array] = [np.empty(0, np.int64)]
        keys: list[UInt64Array] = [np.empty(0, np.uint64)]
        for rows, inside, shingles in self._chunks():
            key = order[(shingles & slot).astype(np.int64)]
            key |= shingles & np.uint64(2**_HASH_BITS - 1)
            key[~inside] = np.uint64(2**64 - 1)
            key.sort(axis=1)
            size = self._sizes[rows]
            prefix = size - np.ceil(self._threshold * size - _SLACK).astype(np.int64) + 1
            chosen = np.arange(key.shape[1]) < np.minimum(prefix, size)[:, None]
            places.append(np.repeat(rows, chosen.sum(axis=1)))
            keys.append(key[chosen])
        return np.concatenate(places), np.concatenate(keys)
