"""Which captions can be alike at all, by a few bits of each: exact, and a twentieth of a comparison's cost.

Each shingle of a set flips one of 512 bits. Between two sets no more bits differ than there are shingles that they do
not share, and two of sizes x and y at Jaccard similarity t or above leave at most (1 - t) / (1 + t) (x + y) unshared.
"""

from functools import cached_property

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array, UInt64Array
from tamis.pipeline.algorithms.near_captions.shingles import Shingles

# 512 bits tell captions of up to a few hundred shingles apart.
_WORDS = 8
_SHINGLES = 1 << 18
_PAIRS = 1 << 14
# Rounding must rule out nobody.
_SLACK = 1e-9

_BYTES = np.uint64(0x00FF00FF00FF00FF)
_SUM = np.uint64(0x0001000100010001)


# To make the bits of a set costs as much as they save over so many pairs.
_PAIRS_A_SET = 2


class Parity:
    """The bits of sets, 64 bytes a set, made when so many pairs have been asked about that they are worth it.

    Args:
        sets: shingle sets, as `text.shingle_sets` gives them.
        threshold: least Jaccard similarity.
    """

    def __init__(self, sets: Shingles, threshold: float) -> None:
        self._sets = sets
        self._sizes = sets.sizes
        self._share = (1.0 - threshold) / (1.0 + threshold)
        self._asked = 0

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Say which pairs of rows of the sets are not ruled out: bool (p,)."""
        self._asked += len(a)
        if self._asked <= _PAIRS_A_SET * len(self._sizes):
            return np.ones(len(a), dtype=bool)
        result = np.empty(len(a), dtype=bool)
        for start in range(0, len(a), _PAIRS):
            part = slice(start, start + _PAIRS)
            x, y = a[part], b[part]
            both = self._sizes[x] + self._sizes[y]
            result[part] = self._differing(x, y) <= self._share * both + _SLACK
        return result

    def _differing(self, x: Int64Array, y: Int64Array) -> UInt64Array:
        # Counts of up to 64 in each of eight bytes: summed in pairs, since eight of them may be more than a byte holds.
        counts = np.bitwise_count(self._flipped[x] ^ self._flipped[y]).view(np.uint64)[:, 0]
        in_pairs: UInt64Array = (counts & _BYTES) + ((counts >> np.uint64(8)) & _BYTES)
        in_pairs *= _SUM
        return in_pairs >> np.uint64(48)

    @cached_property
    def _flipped(self) -> UInt64Array:
        """Bits of each set: uint64 (n, _WORDS)."""
        offsets = self._sets.offsets
        flipped = np.zeros((len(self._sizes), _WORDS), dtype=np.uint64)
        there = np.flatnonzero(self._sizes)
        ends = np.cumsum(self._sizes[there])
        start = 0
        while start < len(there):
            before = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, before + _SHINGLES, side="right")), start + 1)
            first, last = offsets[there[start]], offsets[there[stop - 1] + 1]
            shingles = self._sets.hashes[first:last]
            bit: UInt64Array = np.uint64(1) << ((shingles >> np.uint64(20)) & np.uint64(63))
            word = (shingles >> np.uint64(26)) & np.uint64(_WORDS - 1)
            starts = offsets[there[start:stop]] - first
            for number in range(_WORDS):
                here = np.where(word == number, bit, np.uint64(0))
                flipped[there[start:stop], number] = np.bitwise_xor.reduceat(here, starts)
            start = stop
        return flipped
