"""Which captions of a large bucket can be alike at all: exact bounds, where bands separate nothing.

Captions made from one template ("portrait of NAME, oil on canvas") share most shingles and so whole
bands, by the hundred thousand, and yet none need be like another. In an order of all shingles, the rarest
first, two sets of sizes x and y at Jaccard >= t have t / (1 + t) (x + y) in common at least, so that
the first one they share stands so early in both that enough are left (prefix filtering; Chaudhuri, Ganti
and Kaushik, ICDE 2006; by position: Xiao, Wang, Lin and Yu, WWW 2008). What is rare in such a bucket
is what the template leaves open.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Int64Array, UInt64Array
from tamis.pipeline.algorithms.near_captions.shingles import Shingles, length_chunks

_CELLS = 1 << 18
_COUNTERS = 1 << 20
# A shingle's order is its count, in the upper bits, and then its hash.
_HASH_BITS = 40
_MOST = 2 ** (64 - _HASH_BITS) - 1
# Rounding must not make a prefix too short.
_SLACK = 1e-9


@dataclass(frozen=True)
class Prefixes:
    """Early shingles of sets, in the order of all: records of (place, key, reach).

    Two sets that are alike share the key of two records that reach each other: each reach is at least
    the other set's size.

    Args:
        place: int32 (r,), the set, by its place among those that were asked for.
        key: uint64 (r,), the shingle; a rarer one has a smaller key.
        reach: int32 (r,), the largest set with which this shingle can be the first that is shared.
    """

    place: NDArray[np.int32]
    key: UInt64Array
    reach: NDArray[np.int32]


def prefixes(sets: Shingles, rows: Int64Array, threshold: float) -> Prefixes:
    """Take the early shingles of some of the sets.

    Args:
        sets: shingle sets, as `text.shingle_sets` gives them.
        rows: int64 (c,), those that are looked at; distinct, none of them empty.
        threshold: least Jaccard similarity.
    """
    sizes, starts = sets.sizes[rows], sets.offsets[rows]
    order = _by_count(sets, sizes, starts)
    slot = np.uint64(_COUNTERS - 1)
    places, keys, reaches = (
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
        # Of the set, these are left from each place on; and so large a set may want no more in common.
        left = size - np.arange(width)
        reach = np.floor(left * ((1.0 + threshold) / threshold) - size + _SLACK).astype(np.int32)
        # No partner is smaller than t times the set.
        chosen = (reach >= threshold * size - _SLACK) & (left > 0)
        places.append(np.repeat(chunk, chosen.sum(axis=1)).astype(np.int32))
        keys.append(key[chosen])
        reaches.append(reach[chosen])
    return Prefixes(np.concatenate(places), np.concatenate(keys), np.concatenate(reaches))


def _by_count(sets: Shingles, sizes: Int64Array, starts: Int64Array) -> UInt64Array:
    """The upper bits of the keys of all shingles with these lower bits: how many there are."""
    counts = np.zeros(_COUNTERS, dtype=np.int64)
    slot = np.uint64(_COUNTERS - 1)
    for chunk, width in length_chunks(sizes, _CELLS):
        shingles, inside = _cells(sets, sizes[chunk], starts[chunk], width)
        counts += np.bincount((shingles[inside] & slot).astype(np.int64), minlength=_COUNTERS)
    order: UInt64Array = np.minimum(counts, _MOST).astype(np.uint64) << np.uint64(_HASH_BITS)
    return order


def _cells(
    sets: Shingles, sizes: Int64Array, starts: Int64Array, width: int
) -> tuple[UInt64Array, NDArray[np.bool_]]:
    """Shingles of sets of like size, uint64 (k, width), and which of the cells are there, bool."""
    column = np.arange(width)
    inside = column < sizes[:, None]
    return sets.hashes[starts[:, None] + np.minimum(column, sizes[:, None] - 1)], inside
