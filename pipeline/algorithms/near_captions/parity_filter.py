"""Filter of pairs of captions by 512 bits of each: it loses no pair, at a twentieth of the cost of a comparison.

Each shingle of a set flips one of 512 bits. At most as many bits of two sets differ as there are shingles that only one
of them has; two sets of sizes x and y at Jaccard similarity t or above have at most (1 - t) / (1 + t) (x + y) of those.
"""

from functools import cached_property

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array, UInt64Array
from tamis.pipeline.algorithms.near_captions.shingles import Shingles

# 512 bits, enough for captions of up to a few hundred shingles.
_WORDS = 8
# Shingles and pairs of a block.
_SHINGLES = 1 << 18
_PAIRS = 1 << 14
# Rounding must rule out no pair.
_SLACK = 1e-9
# Pairs after which the bits of a set have saved as much as they cost.
_PAIRS_A_SET = 2

_BYTES = np.uint64(0x00FF00FF00FF00FF)
_SUM = np.uint64(0x0001000100010001)


class ParityFilter:
    """Bits of shingle sets, 64 bytes a set, made once enough pairs were filtered to be worth it.

    Args:
        sets: shingle sets, by `shingles.shingle_sets`.
        threshold: least Jaccard similarity of a pair.
    """

    def __init__(self, sets: Shingles, threshold: float) -> None:
        self._sets = sets
        self._sizes = sets.sizes
        self._share = (1.0 - threshold) / (1.0 + threshold)
        self._pairs = 0

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Mark the pairs of rows a and b of the sets, int64 (p,), that can reach the threshold: bool (p,)."""
        self._pairs += len(a)
        if self._pairs <= _PAIRS_A_SET * len(self._sizes):
            return np.ones(len(a), dtype=bool)
        result = np.empty(len(a), dtype=bool)
        for start in range(0, len(a), _PAIRS):
            part = slice(start, start + _PAIRS)
            x, y = a[part], b[part]
            both = self._sizes[x] + self._sizes[y]
            result[part] = self._differing(x, y) <= self._share * both + _SLACK
        return result

    def _differing(self, x: Int64Array, y: Int64Array) -> UInt64Array:
        # Eight counts of up to 64, a byte each, are summed in 16 bits: together they may be more than a byte holds.
        counts = np.bitwise_count(self._flipped[x] ^ self._flipped[y]).view(np.uint64)[:, 0]
        in_pairs: UInt64Array = (counts & _BYTES) + ((counts >> np.uint64(8)) & _BYTES)
        in_pairs *= _SUM
        return in_pairs >> np.uint64(48)

    @cached_property
    def _flipped(self) -> UInt64Array:
        """Bits of each set: uint64 (n, _WORDS)."""
        offsets = self._sets.offsets
        flipped = np.zeros((len(self._sizes), _WORDS), dtype=np.uint64)
        rows = np.flatnonzero(self._sizes)  # an empty set has no bits
        ends = np.cumsum(self._sizes[rows])
        start = 0
        while start < len(rows):
            before = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, before + _SHINGLES, side="right")), start + 1)
            first, last = offsets[rows[start]], offsets[rows[stop - 1] + 1]
            shingles = self._sets.hashes[first:last]
            bit: UInt64Array = np.uint64(1) << ((shingles >> np.uint64(20)) & np.uint64(63))
            word = (shingles >> np.uint64(26)) & np.uint64(_WORDS - 1)
            starts = offsets[rows[start:stop]] - first
            for number in range(_WORDS):
                bits = np.where(word == number, bit, np.uint64(0))
                flipped[rows[start:stop], number] = np.bitwise_xor.reduceat(bits, starts)
            start = stop
        return flipped
