"""Likeness to a target: the nearest target vector, the second moment of all, and votes for concepts.

NormSim (Wang et al., "CLIPLoss and norm-based data selection", NeurIPS 2024) is the largest inner product with a target
vector, NormSim-inf, or the length of all inner products together, NormSim-2. Votes are DataComp's image-based filter
(Gadre et al., NeurIPS 2023) and the feature mapping of DP4TL (Zhang et al., NeurIPS 2023).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.algorithms.clusters.kmeans import Embeddings

_GRID = 2.0**28
_BLOCK = 1024
_POWER = 400
"""Of two: numbers beyond it have squares that float64 does not hold."""
_ROUNDING = 1e-5
"""By which a length that was 1 may differ after it was stored in 32 bits."""


def lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Length of each row, float64 (n,), at least the smallest positive number."""
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    found: NDArray[np.float64] = np.maximum(np.sqrt(squares), np.finfo(np.float64).tiny)
    return found


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (n, d) at length 1, float32.

    Raises:
        ValueError: a row is zero, or not finite.
    """
    with np.errstate(over="ignore"):  # of a type wider than 64 bits: it is not finite
        wide = rows.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(wide).all(axis=1) & wide.any(axis=1)))
    if bad.size:
        raise ValueError(f"row {bad[0]:,} is zero or not finite: leave it out")
    power = np.frexp(np.abs(wide).max(axis=1, initial=0.0))[1]
    far = np.abs(power) > _POWER  # their squares are too large or too small for a number
    wide[far] = np.ldexp(wide[far], -power[far, None])
    return (wide / lengths(wide)[:, None]).astype(np.float32)


def unit_centroids(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Centroids (K, d), float32, whose products with unit rows are cosines; those of length 1 as they are.

    Raises:
        ValueError: a row is zero, or not finite.
    """
    made = unit(rows)
    with np.errstate(over="ignore"):
        same = np.abs(lengths(rows) - 1) < _ROUNDING
        made[same] = rows[same]
    return made


def nearest(
    embeddings: Embeddings, target: kmeans.Centroids
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cosine to the nearest target vector, with its sign, and the number of that vector.

    The bits do not depend on how rows are sliced into calls: see `tamis.pipeline.algorithms.clusters.kmeans`.
    Embeddings that are stored as halves are not quite of length 1, which is divided out.

    Args:
        embeddings: (n, d), float32 or float16, not zero.
        target: unit rows.

    Returns:
        (float32 (n,), int32 (n,)); of several with the same cosine the first.
    """
    number, product = target.assign(embeddings)
    return (product / lengths(embeddings)).astype(np.float32), number


def second_moment(blocks: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """The mean of t t' over all target vectors t, float64 (d, d), in multiples of 2^-28.

    Blocks of unit rows are added in their order, products run on one thread.

    Raises:
        ValueError: there is no vector.
    """
    total: NDArray[np.float64] | None = None
    count = 0
    with threadpool_limits(1, user_api="blas"):
        for block in blocks:
            for start in range(0, len(block), _BLOCK):
                rows = block[start : start + _BLOCK].astype(np.float64)
                product = rows.T @ rows
                total = product if total is None else total + product
                count += len(rows)
    if total is None:
        raise ValueError("the target has no vectors")
    rounded: NDArray[np.float64] = np.round(total / count * _GRID) / _GRID
    return rounded


def moment(embeddings: NDArray[np.float16], second: NDArray[np.float64]) -> NDArray[np.float32]:
    """Root mean square of the inner products with all target vectors: sqrt(x' S x) / |x|, float32 (n,).

    NormSim-2 is this times the root of the number of target vectors. S of `second_moment` is a multiple of 2^-28 and a
    float16 one of 2^-24; sums of x S stay below 2 by Cauchy and Schwarz, so float64 holds them exactly: the bits do not
    depend on the order of addition, and so on how rows are sliced into calls.
    """
    values = np.empty(len(embeddings), np.float32)
    for start in range(0, len(embeddings), _BLOCK):
        rows = embeddings[start : start + _BLOCK].astype(np.float64)
        square = np.einsum("ij,ij->i", rows @ second, rows)
        root = np.sqrt(np.maximum(square, 0.0))
        values[start : start + len(rows)] = root / lengths(rows)
    return values


def votes(blocks: Iterable[NDArray[np.floating]], centroids: kmeans.Centroids) -> NDArray[np.int64]:
    """Number of target vectors whose nearest centroid each is, int64 (K,)."""
    counts = np.zeros(len(centroids.rows), np.int64)
    for block in blocks:
        number, _ = centroids.assign(block.astype(np.float32, copy=False))
        counts += np.bincount(number, minlength=len(counts))
    return counts
