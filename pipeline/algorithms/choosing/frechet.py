"""Search for the concepts that together are most like a target, by Fréchet distance (SnP, Yao et al., CVPR 2023).

A set of vectors is known by count, sum and sum of outer products: those of a union are sums. Between two sets with
means m and covariances S (of n - 1 degrees of freedom) the distance is |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).
Concepts are added from the nearest on, and the beginning whose union is nearest to the target is the result. The paper
draws as many samples of the union as the target has before it measures; here no sample is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tamis.pipeline.algorithms.choosing.learned import Halves

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]

UNIT = 2.0**-12
"""Unit of projected vectors: sums of their outer products are whole numbers, in any order of addition."""

_ROWS = 1 << 20
_WEIGHTS = 2.0**28


class Moments(NamedTuple):
    """Of n vectors: how many, their sum (p,), and the sum of outer products (p, p)."""

    size: float
    total: Numbers
    outer: Numbers

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> Moments:
        """Moments of rows (n, p)."""
        wide = rows.astype(np.float64)
        return cls(len(wide), wide.sum(axis=0), wide.T @ wide)

    @classmethod
    def of_blocks(cls, blocks: Iterable[NDArray[np.floating]]) -> Moments:
        """Moments of rows that come in blocks, added in their order, on one thread.

        Raises:
            ValueError: there is no row.
        """
        whole: Moments | None = None
        with threadpool_limits(1, user_api="blas"):
            for block in blocks:
                some = cls.of(block)
                whole = some if whole is None else whole.joined(some)
        if whole is None:
            raise ValueError("there is no vector")
        return whole

    def joined(self, other: Moments) -> Moments:
        """Moments of both together."""
        return Moments(self.size + other.size, self.total + other.total, self.outer + other.outer)

    def along(self, directions: Numbers) -> Moments:
        """Moments of the projections on directions (p, q)."""
        return Moments(self.size, self.total @ directions, directions.T @ self.outer @ directions)

    @property
    def mean(self) -> Numbers:
        """(p,)."""
        found: Numbers = self.total / self.size
        return found

    def covariance(self) -> Numbers:
        """(p, p), of n - 1 degrees of freedom; shrunk to its diagonal where n - 1 is below p, and 0 for one vector."""
        width = len(self.total)
        if self.size <= 1:
            return np.zeros((width, width))
        centred = self.outer - np.outer(self.total, self.total) / self.size
        found: Numbers = centred / (self.size - 1)
        share = min(1.0, (self.size - 1) / width)
        return share * found + (1 - share) * np.diag(np.diag(found))


class Search(NamedTuple):
    """Of K concepts: ``rank`` from 1 on, (K,); its ``distance`` (K,); and that of the ``union`` up to it (K,).

    Concepts without vectors come last, at an infinite distance. ``best`` is the last rank of the result.
    """

    rank: Integers
    distance: Numbers
    union: Numbers
    best: int


class Target:
    """The target of a search."""

    def __init__(self, target: Moments) -> None:
        self._mean, covariance = target.mean, target.covariance()
        self._trace = float(np.trace(covariance))
        self._root = _root(covariance)

    def distance(self, other: Moments) -> float:
        """The Fréchet distance; not below 0."""
        covariance = other.covariance()
        inner = self._root @ covariance @ self._root
        mixed = np.sqrt(np.maximum(np.linalg.eigvalsh((inner + inner.T) / 2), 0)).sum()
        gap = float(((self._mean - other.mean) ** 2).sum())
        return max(0.0, gap + self._trace + float(np.trace(covariance)) - 2 * float(mixed))

    def search(self, counts: Integers, totals: Numbers, outers: Numbers) -> Search:
        """Order concepts, and find where to stop.

        Args:
            counts: (K,), of each concept's vectors.
            totals: (K, p), their sums.
            outers: (K, p, p), the sums of their outer products.

        Raises:
            ValueError: no concept has a vector.
        """
        distance = np.full(len(counts), np.inf)
        for concept in np.flatnonzero(counts).tolist():
            moments = Moments(counts[concept], totals[concept], outers[concept])
            distance[concept] = self.distance(moments)
        order = np.argsort(distance, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        union = np.full(len(counts), np.inf)
        whole = Moments(0, np.zeros_like(totals[0]), np.zeros_like(outers[0]))
        for concept in order[: int((counts > 0).sum())].tolist():
            whole = whole.joined(Moments(counts[concept], totals[concept], outers[concept]))
            union[concept] = self.distance(whole)
        if not np.isfinite(union).any():
            raise ValueError("no concept has a vector")
        return Search(rank, distance, union, int(rank[order[int(np.argmin(union[order]))]]))


def _root(matrix: Numbers) -> Numbers:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Numbers = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def directions(second: Numbers, count: int) -> Numbers:
    """The ``count`` principal directions of vectors with second moment ``second`` (d, d): (d, count), to 2^-28."""
    with threadpool_limits(1, user_api="blas"):
        _, vectors = np.linalg.eigh(second)
    found: Numbers = np.round(vectors[:, ::-1][:, :count] * _WEIGHTS) / _WEIGHTS
    return found


def projected(rows: Halves, along: Numbers) -> Numbers:
    """Rows (n, d) along directions (d, p), as whole numbers of ``UNIT``; the bits do not depend on slicing."""
    found: Numbers = np.round(rows.astype(np.float64) @ along / UNIT)
    return found


def add(
    rows: Numbers,
    concept: NDArray[np.integer],
    counts: Integers,
    totals: Integers,
    outers: Integers,
) -> None:
    """Add whole numbers (n, p) to the moments of their concepts, exactly.

    Args:
        rows: of ``projected``.
        concept: (n,), of each.
        counts: (K,), is changed, as are the next two.
        totals: (K, p).
        outers: (K, p, p).
    """
    order = np.argsort(concept, kind="stable")
    ordered = concept[order]
    present, first, size = np.unique(ordered, return_index=True, return_counts=True)
    for number, start, stop in zip(
        present.tolist(), first.tolist(), (first + size).tolist(), strict=True
    ):
        for begin in range(start, stop, _ROWS):
            some = rows[order[begin : min(begin + _ROWS, stop)]]
            counts[number] += len(some)
            totals[number] += some.sum(axis=0).astype(np.int64)
            # Products stay below 2^25, so that float64 holds the sum of a block exactly.
            outers[number] += (some.T @ some).astype(np.int64)
