"""The recall of a search that reads only the clusters whose centroids are nearest to a query."""

from __future__ import annotations

import numpy as np

from tamis.pipeline.algorithms import nearest
from tamis.pipeline.algorithms.arrays import Float32Array, Float64Array, Int64Array

_MARGIN = (
    2e-3  # products in float32 of halves whose length is not quite 1 choose, exact cosines decide
)


def near(rows: Float32Array, queries: Float32Array, count: int) -> list[Int64Array]:
    """For each query positions of rows, among which are the ``count`` of the largest cosines; a few more.

    Args:
        rows: (n, d), halves as float32, of about length 1.
        queries: (q, d), of length 1.
        count: at least 1.
    """
    products = rows @ queries.T
    found = []
    for column in products.T:
        if len(column) <= count:
            found.append(np.arange(len(column)))
            continue
        least = np.partition(column, -count)[-count] - np.float32(_MARGIN)
        found.append(np.flatnonzero(column >= least))
    return found


def ranks(centroids: Float32Array, query: Float32Array) -> Int64Array:
    """How near each centroid is to the query among all, int64 (K,): 1 is the nearest; ties by number."""
    order = np.argsort(-nearest.cosines(centroids, query), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def curve(found: Int64Array, clusters: int) -> tuple[Int64Array, Float64Array]:
    """Numbers of probed clusters, powers of two and all, and the share of what is sought that lies in these.

    Args:
        found: (n,) of each sample that is sought, the rank of its cluster for its query.
        clusters: K.
    """
    powers = 2 ** np.arange(clusters.bit_length())
    probes = np.unique(np.minimum(np.append(powers, clusters), clusters)).astype(np.int64)
    inside = np.searchsorted(np.sort(found), probes, side="right")
    return probes, inside / max(1, len(found))
