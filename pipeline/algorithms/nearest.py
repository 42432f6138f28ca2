"""Nearest vectors to a query by cosine: exact values, the best so far, and the clusters that can hold one.

Vectors are stored as halves, whose length is not quite 1: a cosine is that of the vectors at length 1. Each is computed
by itself in float64, so that it does not depend on the rows beside it; products in float32 only choose the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int64Array,
    UInt64Array,
)
from tamis.pipeline.algorithms.clusters.float16 import widen

_BLOCK = 1024  # rows computed at once: in float32 they stay in a processor's cache
_MARGIN = 1e-3  # halves change a length by 2^-11 at most, and float32 products a cosine by less


class Best:
    """The ``limit`` largest cosines that were added, in order; equal ones by uid."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.values = np.empty(0, np.float64)
        self.sids = np.empty(0, np.int64)
        self.uids = np.empty((0, 2), np.uint64)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bound(self) -> float:
        """The cosine below which nothing more gets in."""
        return float(self.values[-1]) if len(self) == self.limit and len(self) else -np.inf

    def add(self, values: Float64Array, sids: Int64Array, uids: UInt64Array) -> None:
        """Take in n samples: cosines (n,), sids (n,) and uids (n, 2)."""
        values = np.concatenate([self.values, values])
        sids = np.concatenate([self.sids, sids])
        uids = np.concatenate([self.uids, uids])
        order = np.lexsort((uids[:, 1], uids[:, 0], -values))[: self.limit]
        self.values, self.sids, self.uids = values[order], sids[order], uids[order]


def above(
    rows: NDArray[np.floating], query: Float32Array, bound: float, most: int | None = None
) -> tuple[Int64Array, Float64Array]:
    """Positions and cosines of the rows whose cosine with the query is ``bound`` or more.

    Args:
        rows: (n, d), float16 or float32, of about length 1.
        query: float32 (d,), of length 1.
        bound: a cosine; minus infinity for all rows.
        most: rows that are needed, those of the largest cosines: some that are not among them are then left out.

    Returns:
        (int64 (m,) ascending, float64 (m,)).
    """
    found = list(_above(rows, query, bound, most))
    positions = [at for at, _ in found] or [np.empty(0, np.int64)]
    values = [value for _, value in found] or [np.empty(0, np.float64)]
    return np.concatenate(positions), np.concatenate(values)


def _above(
    rows: NDArray[np.floating], query: Float32Array, bound: float, most: int | None
) -> Iterator[tuple[Int64Array, Float64Array]]:
    wide = np.empty((min(_BLOCK, len(rows)), rows.shape[1]), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = wide[: min(_BLOCK, len(rows) - start)]
        widen(rows[start : start + len(block)], block)
        products = block @ query
        least = bound - _MARGIN
        if most is not None and 0 < most < len(products):
            # The exact value of each of the `most` largest products is above this, less one margin.
            last = float(np.partition(products, -most)[-most])
            least = max(least, last - 2 * _MARGIN)
        near = np.flatnonzero(products >= least)
        values = cosines(block[near], query)
        exact = values >= bound
        yield near[exact] + start, values[exact]


def cosines(rows: NDArray[np.floating], query: Float32Array) -> Float64Array:
    """The cosine of each row (n, d) with the query (d,), float64 (n,): each the same whatever rows are beside it."""
    wide, to = rows.astype(np.float64), query.astype(np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", wide, wide) * (to @ to))
    values: Float64Array = np.einsum("ij,j->i", wide, to)
    values /= np.maximum(length, np.finfo(np.float64).tiny)
    return values


def copies(earlier: NDArray[np.floating], rows: NDArray[np.floating], bound: float) -> BoolArray:
    """Whether the cosine of each row to a row before it, or to an ``earlier`` one, is above ``bound``; bool (n,).

    As in SemDeDup the other row may itself be a copy: so the answer for a row does not depend on what is left out.

    Args:
        earlier: (m, d), what comes before all rows.
        rows: (n, d), in order.
        bound: a cosine.
    """
    every = np.concatenate([earlier, rows]).astype(np.float32)
    first = len(earlier)
    found = [
        bool((cosines(every[: first + at], every[first + at]) > bound).any())
        for at in range(len(rows))
    ]
    return np.array(found, bool)


def probed(centroids: Float32Array, query: Float32Array, count: int) -> Int64Array:
    """The ``count`` clusters whose centroids (K, d) are nearest to the query (d,), ascending; ties by number.

    The query has length 1.
    """
    if count >= len(centroids):
        return np.arange(len(centroids))
    lengths = np.sqrt(np.einsum("ij,ij->i", centroids, centroids))
    products = centroids @ query / np.maximum(lengths, np.finfo(np.float32).tiny)
    least = np.partition(products, -count)[-count] - 2 * _MARGIN
    near = np.flatnonzero(products >= least)
    order = np.argsort(-cosines(centroids[near], query), kind="stable")
    return np.sort(near[order[:count]])


def reachable(
    centroids: Float32Array, query: Float32Array, farthest: NDArray[np.floating], bound: float
) -> Int64Array:
    """The clusters that can hold a vector whose cosine with the query is ``bound`` or more.

    Angles obey the triangle inequality: no member is nearer to the query than the centroid's angle from it, less the
    angle between the centroid and the member that is farthest from it.

    Args:
        centroids: float32 (K, d).
        query: float32 (d,), of length 1.
        farthest: (K,) the smallest cosine of a member to its centroid, as stored; infinite for an empty cluster.
        bound: a cosine.
    """
    to_query = np.arccos(np.clip(cosines(centroids, query), -1, 1))
    radius = np.arccos(np.clip(np.where(np.isinf(farthest), 1, farthest - _MARGIN), -1, 1))
    nearest = np.cos(np.maximum(to_query - radius, 0))
    return np.flatnonzero((nearest >= bound - _MARGIN) & ~np.isinf(farthest))
