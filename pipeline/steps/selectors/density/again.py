"""Other quotas over a finished run's stored distances. Only samples near a cut are sorted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.choosing import density, ranks
from tamis.pipeline.algorithms.choosing.quota_cut import QuotaCut
from tamis.pipeline.steps.concepts.clustering import centroids
from tamis.pipeline.steps.selectors.density.config import OVER_QUOTA
from tamis.pipeline.steps.selectors.density.config import Density as Config
from tamis.pipeline.steps.selectors.density.step import Density as Step
from tamis.pipeline.steps.selectors.density.step import solved
from tamis.pipeline.steps.shared.again import Again
from tamis.pipeline.tasks.chunks import Chunk, Rows

PLACE = np.dtype([("reaches", "?"), ("cluster", "<i4"), ("similarity", "<f4")])
"""A row's cluster and similarity; ``reaches``: the row reaches the step."""

Near = tuple[Rows, npt.NDArray[np.int32], npt.NDArray[np.uint64]]
"""(index among all rows, cluster, key) of the samples near a cut."""


class Choice:
    """A decision in two passes: sums and a histogram, then, with the quotas, the samples beyond them."""

    def __init__(self, again: Again, config: Config) -> None:
        self._again, self._config = again, config
        self._trained = again.whole(config.name, "train")
        self._cut = QuotaCut(self._trained.rows, config.which, again.job.seed)
        self._placed = again.scratch(PLACE)

    def decide(self) -> Counter[str]:
        """Drop the samples beyond the quotas, and count them by reason."""
        again, config, clusters = self._again, self._config, self._trained.rows
        budget = config.budget(again.alive, again.total)
        distance, size = np.zeros(clusters, np.int64), np.zeros(clusters, np.int64)
        for sums, counts, histogram in again.each(self._summed):
            distance += sums
            size += counts
            self._cut.add(histogram)
        settings = Step(config, again.job).settings(clusters, budget)
        quotas = solved(config.name, settings, distance, size, centroids(again.root, self._trained))
        self._cut.set_quotas(quotas["quota"].combine_chunks().to_numpy())
        results = list(again.each(self._beyond))
        index, cluster, key = (np.concatenate([near[i] for _, near in results]) for i in range(3))
        gone = index[self._cut.beyond(cluster, key, lambda tied: again.uids(index[tied]))]
        dropped = again.drop(config.name, OVER_QUOTA, gone)
        return sum((sure for sure, _ in results), dropped)

    def _summed(self, chunk: Chunk) -> tuple[Rows, Rows, Rows]:
        """Each cluster's sum of distances and size in one chunk, and the histogram."""
        columns = ["cluster", "similarity"]
        row, stored = self._again.stored(chunk, self._config.name, "assign", columns)
        alive = self._again.living(chunk)[row]
        row = row[alive]
        cluster, similarity = (stored[name].combine_chunks().to_numpy()[alive] for name in columns)
        placed = self._placed[chunk.place]
        placed["reaches"][row] = True
        placed["cluster"][row], placed["similarity"][row] = cluster, similarity
        coarse = self._cut.bins_of(np.float32(1) - similarity, self._drawn(chunk.start + row))
        sums, counts = density.intra_sums(cluster, similarity, self._trained.rows)
        return sums, counts, self._cut.histogram(cluster, coarse)

    def _beyond(self, chunk: Chunk) -> tuple[Counter[str], Near]:
        """Drop the samples of one chunk that are certainly beyond; their count, and the samples near the cut."""
        config, seed = self._config, self._again.job.seed
        placed = self._placed[chunk.place]
        row = np.flatnonzero(placed["reaches"])
        cluster, similarity = placed["cluster"][row], placed["similarity"][row]
        uid = self._drawn(chunk.start + row)
        distance = np.float32(1) - similarity
        sure, near = self._cut.split(cluster, self._cut.bins_of(distance, uid))
        dropped = self._again.drop(config.name, OVER_QUOTA, chunk.start + row[sure])
        words = np.zeros((int(near.sum()), 2), np.uint64) if uid is None else uid[near]
        key = ranks.keys(distance[near], words, config.which, seed)
        return dropped, (chunk.start + row[near], cluster[near], key)

    def _drawn(self, rows: Rows) -> npt.NDArray[np.uint64] | None:
        """The uids of rows if they decide, as with ``which: random``; else None."""
        return self._again.uids(rows) if self._config.which == "random" else None
