"""The choice of `quotas` in memory, over concepts."""

from __future__ import annotations

import numpy as np

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import group_quotas, ranks
from tamis.pipeline.steps.selectors.choice import InfeasibleError, Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.quotas.config import CLUSTER
from tamis.pipeline.steps.selectors.quotas.config import Quotas as Config


class Quotas(StepChoice[Config]):
    """A choice by equal quotas for all concepts, or by their sizes; other groups are not known here."""

    @classmethod
    def default(cls, similarity: str) -> Config:
        """Equal quotas, filled by lot."""
        del similarity
        return Config(by=(CLUSTER,), keep=1.0)

    @property
    def signal(self) -> str | None:
        """The signal by which a concept keeps its samples, if there is one."""
        return self.config.score

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the first samples of each concept, up to its quota.

        Raises:
            InfeasibleError: the groups are others than concepts, their weights come from elsewhere, or ``cap`` and
                ``most`` do not allow the count.
        """
        config = self.config
        if config.by != (CLUSTER,) or config.weights not in ("equal", "size"):
            raise InfeasibleError(
                f"{config.name}: compared are quotas of concepts alone, by: {CLUSTER}, equal or by size"
            )
        sizes = np.bincount(pool.cluster, minlength=len(pool.centroids)).astype(np.int64)
        weight = np.ones(len(sizes)) if config.weights == "equal" else sizes**config.power
        capacity = group_quotas.capacities(sizes, config.cap, config.most)
        try:
            quota = group_quotas.quotas(np.asarray(weight, np.float64), capacity, count)
        except group_quotas.InfeasibleQuotas as error:
            raise InfeasibleError(f"{config.name}: {error}") from None
        if config.score is None:
            key = order.hashed(pool.uid, self.seed, "quotas")
        else:
            key = order.descending(pool.signal if config.best == "highest" else -pool.signal)
        chosen: Mask = ranks.within(pool.cluster, key, pool.uid) <= quota[pool.cluster]
        return chosen
