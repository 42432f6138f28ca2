"""Prefix filtering of captions in a large bucket whose bands separate nothing: exact bounds on what can be alike.

Hundreds of thousands of captions from one template ("portrait of NAME, oil on canvas") share most shingles and so whole
bands, though perhaps no two are alike. Two sets of sizes x and y at Jaccard >= t share at least t / (1 + t) (x + y)
shingles. In an order of all shingles, the rarest first, the first shared one is therefore early in both sets: enough
must follow it (Chaudhuri, Ganti and Kaushik, ICDE 2006; by position: Xiao, Wang, Lin and Yu, WWW 2008). The rare
shingles of such a bucket are those that fill the template.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Int64Array, UInt64Array
from tamis.pipeline.algorithms.near_captions.shingles import Shingles, length_chunks

_CELLS = 1 << 18
_COUNTERS = 1 << 20
# The order of a shingle is its count, in the upper bits, and then its hash.
_HASH_BITS = 40
_MOST_COUNT = 2 ** (64 - _HASH_BITS) - 1
# Rounding must not make a prefix too short.
_SLACK = 1e-9


@dataclass(frozen=True)
class Prefixes:
    """First shingles of sets in the order of all shingles: records (position, key, reach).

    Two sets that are alike have records with the same key that reach each other: each reach is at least the other
    set's size.

    Args:
        position: int32 (r,), position of the set in the `rows` of the call.
        key: uint64 (r,), the shingle; a rarer one has a smaller key.
        reach: int32 (r,), size of the largest set with which this shingle can be the first shared one.
    """

    position: NDArray[np.int32]
    key: UInt64Array
    reach: NDArray[np.int32]


def prefixes(sets: Shingles, rows: Int64Array, threshold: float) -> Prefixes:
    """First shingles of some of the sets, up to the last one that can be the first shared with a set that is alike.

    Args:
        sets: shingle sets, by `shingles.shingle_sets`.
        rows: int64 (c,), distinct rows of `sets`, none of them empty.
        threshold: least Jaccard similarity of a pair.
    """
    sizes, starts = sets.sizes[rows], sets.offsets[rows]
    order = _by_count(sets, sizes, starts)
    slot = np.uint64(_COUNTERS - 1)
    positions, keys, reaches = (
        [np.empty(0, np.int32)],
        [np.empty(0, np.uint64)],
        [np.empty(0, np.int32)],
    )
    for chunk, width in length_chunks(sizes, _CELLS):
        shingles, inside = _cells(sets, sizes[chunk], starts[chunk], width)
        key = order[(shingles & slot).astype(np.int64)]
        key |= shingles & np.uint64(2**_HASH_BITS - 1)
        key[~inside] = np.uint64(2**64 - 1)
        key.sort(axis=1)
        size = sizes[chunk, None]
        # Shingles from each position on, and the largest set that needs no more than these in common.
        left = size - np.arange(width)
        reach = np.floor(left * ((1.0 + threshold) / threshold) - size + _SLACK).astype(np.int32)
        # No partner is smaller than t times the set.
        early = (reach >= threshold * size - _SLACK) & (left > 0)
        positions.append(np.repeat(chunk, early.sum(axis=1)).astype(np.int32))
        keys.append(key[early])
        reaches.append(reach[early])
    return Prefixes(np.concatenate(positions), np.concatenate(keys), np.concatenate(reaches))


def _by_count(sets: Shingles, sizes: Int64Array, starts: Int64Array) -> UInt64Array:
    """Upper bits of the keys, the counts of shingles by their hashes' lower bits: uint64 (_COUNTERS,)."""
    counts = np.zeros(_COUNTERS, dtype=np.int64)
    slot = np.uint64(_COUNTERS - 1)
    for chunk, width in length_chunks(sizes, _CELLS):
        shingles, inside = _cells(sets, sizes[chunk], starts[chunk], width)
        counts += np.bincount((shingles[inside] & slot).astype(np.int64), minlength=_COUNTERS)
    order: UInt64Array = np.minimum(counts, _MOST_COUNT).astype(np.uint64) << np.uint64(_HASH_BITS)
    return order


def _cells(
    sets: Shingles, sizes: Int64Array, starts: Int64Array, width: int
) -> tuple[UInt64Array, NDArray[np.bool_]]:
    """Shingles of k sets padded to the same width, uint64 (k, width); and the mask of those that are no padding."""
    column = np.arange(width)
    inside = column < sizes[:, None]
    return sets.hashes[starts[:, None] + np.minimum(column, sizes[:, None] - 1)], inside
