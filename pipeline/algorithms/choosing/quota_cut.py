"""Who lies beyond the quota of its cluster, without ranking anybody but those close to the cut.

Samples are counted in coarse bins that follow the order of ``ranks.keys``. Once quotas are known, one bin of each
cluster holds its cut: what is in an earlier bin is kept, what is in a later one is not, and only the members of that
bin are ordered. The result is that of ``ranks.within`` compared with the quotas, to the sample.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing import ranks
from tamis.pipeline.algorithms.order import hashed

CELLS = 1 << 22
"""Bins of all clusters together, at most (of many clusters, LEAST each): 32 MB of counts."""
MOST, LEAST = 1024, 16
SPAN = 2.0
"""Distances lie between 0 and this."""


class QuotaCut:
    """The cut of one budget: ``count`` everybody, say the quotas (``at``), then ask."""

    def __init__(self, clusters: int, which: ranks.Which, seed: int = 0) -> None:
        self._which, self._seed = which, seed
        self._depth = min(MOST, max(LEAST, CELLS // max(1, clusters))).bit_length() - 1
        self.bins = 1 << self._depth
        self._counts = np.zeros((clusters, self.bins), np.int64)
        self._bin = self._below = self._quota = np.zeros(clusters, np.int64)

    def coarse(
        self, distance: NDArray[np.float32], uid: NDArray[np.uint64] | None
    ) -> NDArray[np.int64]:
        """The bin of every sample: int64 (n,). Never later than that of a sample with a larger key.

        Args:
            distance: float32 (n,).
            uid: uint64 (n, 2), which is looked at only where lots are drawn.
        """
        if self._which == "random":
            assert uid is not None
            drawn: NDArray[np.uint64] = hashed(uid, self._seed, "ranks")
            return (drawn >> np.uint64(64 - self._depth)).astype(np.int64)
        scaled = distance * np.float32(self.bins / SPAN)
        near: NDArray[np.int64] = np.clip(scaled, 0, self.bins - 1).astype(np.int64)
        return self.bins - 1 - near if self._which == "hard" else near

    def histogram(self, cluster: NDArray[np.int32], coarse: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples a cluster and bin: (clusters * bins,)."""
        cell = cluster.astype(np.int64) * self.bins + coarse
        return np.bincount(cell, minlength=self._counts.size)

    def count(self, histogram: NDArray[np.int64]) -> None:
        """Add what ``histogram`` says of some samples."""
        self._counts += histogram.reshape(self._counts.shape)

    def at(self, quota: NDArray[np.int64]) -> None:
        """Find each cluster's bin: everybody has been counted. ``quota``: int64 (clusters,)."""
        until = np.cumsum(self._counts, axis=1)
        self._quota = quota
        self._bin = (until < quota[:, None]).sum(axis=1)
        self._below = np.where(
            self._bin > 0,
            np.take_along_axis(until, np.maximum(self._bin - 1, 0)[:, None], axis=1)[:, 0],
            0,
        )

    def split(
        self, cluster: NDArray[np.int32], coarse: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(n,) certainly beyond the quota; and (n,) in the bin of the cut, for ``beyond`` to decide."""
        bound = self._bin[cluster]
        return coarse > bound, coarse == bound

    def beyond(
        self,
        cluster: NDArray[np.int32],
        key: NDArray[np.uint64],
        uids: Callable[[NDArray[np.int64]], NDArray[np.uint64]],
    ) -> NDArray[np.bool_]:
        """(n,) beyond the quota, of all samples in the bins of the cuts.

        Args:
            cluster: int32 (n,).
            key: uint64 (n,), of ``ranks.keys``.
            uids: (m, 2) of those at the places (m,) where cluster and key are the same on both sides of the cut.
        """
        order = np.lexsort((key, cluster))
        group, ordered = cluster[order], key[order]
        rank = ranks.within(cluster, key, np.zeros((len(key), 2), np.uint64)) + self._below[cluster]
        over = (rank > self._quota[cluster])[order]
        cut = np.flatnonzero(
            (group[1:] == group[:-1]) & (ordered[1:] == ordered[:-1]) & over[1:] & ~over[:-1]
        )
        if len(cut):
            tie = np.zeros(len(self._quota), np.uint64)
            split = np.zeros(len(self._quota), np.bool_)
            tie[group[cut]], split[group[cut]] = ordered[cut], True
            places = np.flatnonzero(split[cluster] & (key == tie[cluster]))
            uid = np.zeros((len(key), 2), np.uint64)
            uid[places] = uids(places)
            rank = ranks.within(cluster, key, uid) + self._below[cluster]
        found: NDArray[np.bool_] = rank > self._quota[cluster]
        return found
