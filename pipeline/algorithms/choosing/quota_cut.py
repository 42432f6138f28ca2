"""Samples beyond the quota of their cluster, found by ranking only those close to the cut.

Samples are counted in coarse bins that follow the order of ``ranks.keys``. Once quotas are known, one bin of each
cluster holds its cut: members of earlier bins are kept, those of later bins are not, and only members of that bin are
ranked. The result is exactly that of ``ranks.within`` compared with the quotas.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing import ranks
from tamis.pipeline.algorithms.order import hashed

CELLS = 1 << 22
"""Most bins of all clusters together, 32 MB of counts; very many clusters still have LEAST_BINS each."""
MOST_BINS, LEAST_BINS = 1024, 16
SPAN = 2.0
"""Largest distance; the smallest is 0."""


class QuotaCut:
    """Cut of one budget over K clusters: count all samples (``add``), set the quotas, then ``split`` the samples."""

    def __init__(self, clusters: int, which: ranks.Which, seed: int = 0) -> None:
        self._which, self._seed = which, seed
        bins = min(MOST_BINS, max(LEAST_BINS, CELLS // max(1, clusters)))
        self._depth = bins.bit_length() - 1
        self.bins = 1 << self._depth
        self._counts = np.zeros((clusters, self.bins), np.int64)
        self._bin = self._below = self._quota = np.zeros(clusters, np.int64)

    def bins_of(
        self, distance: NDArray[np.float32], uid: NDArray[np.uint64] | None
    ) -> NDArray[np.int64]:
        """Bin of every sample, int64 (n,): it ascends with the key.

        Args:
            distance: float32 (n,).
            uid: uint64 (n, 2), needed for "random" only.
        """
        if self._which == "random":
            assert uid is not None
            hashes: NDArray[np.uint64] = hashed(uid, self._seed, "ranks")
            return (hashes >> np.uint64(64 - self._depth)).astype(np.int64)
        scaled = distance * np.float32(self.bins / SPAN)
        nearest: NDArray[np.int64] = np.clip(scaled, 0, self.bins - 1).astype(np.int64)
        return self.bins - 1 - nearest if self._which == "hard" else nearest

    def histogram(self, cluster: NDArray[np.int32], bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count samples of each cluster and bin, int64 (K * bins,), from cluster int32 (n,) and bin int64 (n,)."""
        cell = cluster.astype(np.int64) * self.bins + bins
        return np.bincount(cell, minlength=self._counts.size)

    def add(self, histogram: NDArray[np.int64]) -> None:
        """Add the ``histogram`` of some samples."""
        self._counts += histogram.reshape(self._counts.shape)

    def set_quotas(self, quota: NDArray[np.int64]) -> None:
        """Find the bin of each cluster's cut, once all samples are counted; ``quota`` is int64 (K,)."""
        until = np.cumsum(self._counts, axis=1)
        self._quota = quota
        self._bin = (until < quota[:, None]).sum(axis=1)
        self._below = np.where(
            self._bin > 0,
            np.take_along_axis(until, np.maximum(self._bin - 1, 0)[:, None], axis=1)[:, 0],
            0,
        )

    def split(
        self, cluster: NDArray[np.int32], bins: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark samples behind the bin of the cut, beyond the quota for certain; and those in it: two bool (n,)."""
        bound = self._bin[cluster]
        return bins > bound, bins == bound

    def beyond(
        self,
        cluster: NDArray[np.int32],
        key: NDArray[np.uint64],
        uids: Callable[[NDArray[np.int64]], NDArray[np.uint64]],
    ) -> NDArray[np.bool_]:
        """Mark samples beyond the quota, bool (n,), of all that lie in the bins of the cuts.

        Args:
            cluster: int32 (n,).
            key: uint64 (n,), by ``ranks.keys``.
            uids: positions int64 (m,) -> uids uint64 (m, 2); asked for samples that tie across the cut only.
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
            tied = np.flatnonzero(split[cluster] & (key == tie[cluster]))
            uid = np.zeros((len(key), 2), np.uint64)
            uid[tied] = uids(tied)
            rank = ranks.within(cluster, key, uid) + self._below[cluster]
        mask: NDArray[np.bool_] = rank > self._quota[cluster]
        return mask
