"""The nearest listed picture of each of some others: perceptual hashes within a radius, and layouts within a bound.

Tables as in ``near_pictures.hamming``: the list is sorted by what each mask leaves, once, and every hash is looked up
in each of them. No pair within the radius is missed.
"""

from collections.abc import Callable, Iterator

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array, UInt8Array, UInt64Array
from tamis.pipeline.algorithms.near_pictures import hamming, layouts

MEMORY = 256 << 20
"""Bytes of all tables together, about; a list of a million hashes then has 21 of them at most."""

_ENTRY = 12  # bytes of a hash in a table
_PAIRS = 1 << 20
_APART = np.int64(1 << 40)  # of bits, above every position

Look = Callable[[Int64Array, Int64Array], BoolArray]
"""Marks those pairs of a row and a listed picture, int64 (p,) each, that are alike indeed."""


class Nearest:
    """A list, ready to be searched.

    Args:
        hashes: uint64 (m,), perceptual.
        listed: uint8 (m, 162), their layouts; None: hashes alone decide.
        radius: bits in which a hash may differ.
        bound: by how much a layout may.
    """

    def __init__(
        self, hashes: UInt64Array, listed: UInt8Array | None, radius: int, bound: float
    ) -> None:
        self._hashes, self._layouts, self._radius, self._bound = hashes, listed, radius, bound
        most = MEMORY // (_ENTRY * max(1, len(hashes)))
        self._tables = []
        for mask in hamming.masks(max(1, len(hashes)), radius, most):
            masked = hashes & mask
            order = np.argsort(masked, kind="stable").astype(np.int32)
            self._tables.append((mask, masked[order], order))

    def find(
        self, hashes: UInt64Array, own: UInt8Array, look: Look | None = None
    ) -> tuple[Int64Array, Int64Array]:
        """The listed picture with the fewest bits apart, the first of several, and these bits.

        Args:
            hashes: uint64 (n,).
            own: uint8 (n, 162), their layouts.
            look: asked about the pairs whose layouts are within the bound; None: all of them are alike.

        Returns:
            Two int64 (n,): positions in the list, -1 for none, and bits.
        """
        none = _APART * (hamming.BITS + 1)
        best = np.full(len(hashes), none)
        for mask, masked, order in self._tables:
            key = hashes & mask
            first = np.searchsorted(masked, key, side="left")
            count = np.searchsorted(masked, key, side="right") - first
            for row, place in _pairs(first, count):
                entry = order[place].astype(np.int64)
                bits = hamming.distance(hashes[row], self._hashes[entry]).astype(np.int64)
                value = bits * _APART + entry
                near = np.flatnonzero((bits <= self._radius) & (value < best[row]))
                near = near[self._alike(own, row[near], entry[near])]
                near = near if look is None else near[look(row[near], entry[near])]
                np.minimum.at(best, row[near], value[near])
        found = best < none
        return np.where(found, best % _APART, -1), np.where(found, best // _APART, 0)

    def _alike(self, own: UInt8Array, row: Int64Array, entry: Int64Array) -> Int64Array:
        """The positions of the pairs whose layouts are within the bound."""
        if self._layouts is None or not len(row):
            return np.arange(len(row))
        rows, a = np.unique(row, return_inverse=True)
        entries, b = np.unique(entry, return_inverse=True)
        both = np.concatenate([own[rows], self._layouts[entries]])
        b = b + len(rows)
        likely = np.flatnonzero(layouts.possible(both, a, b, self._bound))
        near = layouts.difference(both, a[likely], b[likely]) <= self._bound
        return np.asarray(likely[near], np.int64)


def _pairs(first: Int64Array, count: Int64Array) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Yield (row, place): each row with its places ``first`` to before ``first + count``, about _PAIRS at a time."""
    ends = np.cumsum(count)
    start = 0
    while start < len(count):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
        some = count[start:stop]
        row = np.repeat(np.arange(start, stop), some)
        within = np.arange(len(row)) - np.repeat(np.cumsum(some) - some, some)
        if len(row):
            yield row, first[row] + within
        start = stop
