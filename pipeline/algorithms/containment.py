"""Containment of sets in each other: C(A, B) = |A and B| / |A| over distinct keys.

After R2D2 (Jiang et al., SIGMOD 2024), which looks for tables that stand inside others of a lake; what it costs to make
a deleted one again is left out here. Keys are counted as a whole or as one consistent sample: those whose hash is
below a share of all hashes, in every set the same, so that a sample's counts add up as all keys' do.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Float64Array, Int32Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.hashing import mix64

MOST_SETS = 4096
"""Sets of one comparison: the counts of all pairs are a matrix of 128 MB."""

NORMAL = 1.959963984540054
"""The quantile of the normal distribution that leaves 2.5% above it."""


class Counts(NamedTuple):
    """Counts of distinct keys; those of two parts of all keys, which share none, add up.

    Args:
        size: int64 (S,), keys of each set.
        elsewhere: int64 (S,), those of them that stand in any other set.
        shared: int64 (S, S), keys that two sets share, in the upper triangle.
    """

    size: Int64Array
    elsewhere: Int64Array
    shared: NDArray[np.int64]

    @classmethod
    def none(cls, sets: int) -> "Counts":
        """Counts before any key."""
        return cls(
            np.zeros(sets, np.int64), np.zeros(sets, np.int64), np.zeros((sets, sets), np.int64)
        )


def add(counts: Counts, keys: UInt64Array, of: Int32Array) -> None:
    """Count some keys into ``counts``, among them every occurrence of each.

    Args:
        counts: to be added to, in place.
        keys: uint64 (n, 2), in any order, repeated or not.
        of: int32 (n,), the set of each.
    """
    order = np.lexsort((of, keys[:, 1], keys[:, 0]))
    keys, of = keys[order], of[order]
    new_key = np.ones(len(of), bool)
    new_key[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    distinct = new_key.copy()
    distinct[1:] |= of[1:] != of[:-1]
    own, key = of[distinct], np.cumsum(new_key)[distinct]
    sets = len(counts.size)
    counts.size[:] += np.bincount(own, minlength=sets)
    alone = np.bincount(key)[key] == 1
    counts.elsewhere[:] += np.bincount(own[~alone], minlength=sets)
    apart = 1
    while apart < len(own):
        same = np.flatnonzero(key[apart:] == key[:-apart])
        if not len(same):  # no key has so many sets
            break
        np.add.at(counts.shared, (own[same], own[same + apart]), 1)
        apart += 1


def sampled(keys: UInt64Array, share: float) -> NDArray[np.bool_]:
    """Whether each key, uint64 (n, 2), belongs to the sample of that share: bool (n,)."""
    if share >= 1:
        return np.ones(len(keys), bool)
    hashes = mix64(mix64(keys[:, 0].copy()) ^ keys[:, 1])
    return np.asarray(hashes < np.uint64(int(share * 2.0**64)))


def interval(shared: Int64Array, size: Int64Array) -> tuple[Float64Array, Float64Array]:
    """Wilson's 95% interval of the share ``shared / size`` that a sample estimates: two float64 arrays."""
    count = np.maximum(size, 1).astype(np.float64)
    share = shared / count
    square = NORMAL**2 / count
    centre = (share + square / 2) / (1 + square)
    half = NORMAL * np.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def contained(counts: Counts, stays: NDArray[np.bool_] | None = None) -> list[tuple[int, int]]:
    """(set, set that has all of its keys) for each set that can go; those they name stay, of equal sets the first.

    ``stays``: bool (S,), sets that cannot go, for they hold more than their keys.

    Standing in another set is transitive: whatever stands in a set that goes stands in the one that it names, too.
    """
    shared = counts.shared + counts.shared.T
    found: list[tuple[int, int]] = []
    gone: set[int] = set()
    # The smallest first, of equal ones the last: then a set is only ever held against larger or earlier ones.
    for one in np.lexsort((-np.arange(len(counts.size)), counts.size)).tolist():
        if not counts.size[one] or (stays is not None and stays[one]):
            continue
        whole = np.flatnonzero(shared[one] == counts.size[one])
        others = [other for other in whole.tolist() if other != one and other not in gone]
        if others:
            # The largest, so that it stays; of equal ones the first.
            keeper = max(others, key=lambda other: (counts.size[other], -other))
            found.append((one, keeper))
            gone.add(one)
    return sorted(found)
