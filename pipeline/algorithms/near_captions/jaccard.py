"""Exact Jaccard similarity of many pairs of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array
from tamis.pipeline.algorithms.near_captions.shingles import Shingles

if TYPE_CHECKING:
    from scipy import sparse


def pairs(sets: Shingles, a: Int64Array, b: Int64Array, items: int = 1 << 21) -> Float64Array:
    """Jaccard similarity |A & B| / |A | B| of pairs of shingle sets: float64 (p,) in [0, 1]; 0 for an empty set.

    Args:
        sets: shingle sets, by `shingles.shingle_sets`.
        a: int64 (p,), rows of `sets`.
        b: int64 (p,), their partners.
        items: shingles compared at once, about 40 bytes each.
    """
    from scipy import sparse

    sizes = sets.sizes
    shared = np.zeros(len(a), dtype=np.int64)
    table = _table(sets)
    for part in _blocks(sizes[a] + sizes[b], items):
        # Both rows are sorted, so scipy merges them; the nonzero products are the shared shingles.
        common = table[a[part]].multiply(table[b[part]])
        shared[part] = np.diff(sparse.csr_array(common).indptr)
    union = sizes[a] + sizes[b] - shared
    similarity = np.zeros(len(a))
    np.divide(shared, union, out=similarity, where=union > 0)
    return similarity


def _table(sets: Shingles) -> sparse.csr_array:
    """Sets as a 0/1 matrix whose column numbers are the hashes."""
    from scipy import sparse

    columns = sets.hashes.view(np.int64)
    ones = np.ones(len(columns), dtype=np.int8)
    table = sparse.csr_array(
        (ones, columns, sets.offsets), shape=(len(sets.offsets) - 1, np.iinfo(np.int64).max)
    )
    table.has_canonical_format = True
    return table


def _blocks(weights: Int64Array, limit: int) -> Iterator[slice]:
    """Slices of pairs with at most `limit` items together, at least one pair each."""
    ends = np.cumsum(weights)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + limit, side="right")), start + 1)
        yield slice(start, stop)
        start = stop
