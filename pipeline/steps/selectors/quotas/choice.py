"""The choice of `quotas` in memory, over concepts."""

from __future__ import annotations

import numpy as np

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array
from tamis.pipeline.algorithms.choosing import group_quotas, ranks
from tamis.pipeline.steps.selectors.choice import InfeasibleError, Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.quotas.config import CLUSTER
from tamis.pipeline.steps.selectors.quotas.config import Quotas as Config
from tamis.pipeline.steps.selectors.quotas.groups import reaches


class Quotas(StepChoice[Config]):
    """A choice by quotas of concepts: equal, by size, or by a signal's mean; other groups are not known here."""

    @classmethod
    def default(cls, similarity: str) -> Config:
        """Equal quotas, filled by lot."""
        del similarity
        return Config(by=(CLUSTER,), keep=1.0)

    @property
    def signal(self) -> str | None:
        """The signal by which a concept keeps its samples, or whose mean weighs it, if there is one."""
        return self.config.score or self.config.mean

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the first samples of each concept, up to its quota.

        Raises:
            InfeasibleError: the groups are others than concepts, their weights come from elsewhere, or ``cap``,
                ``most`` and ``least`` do not allow the count.
        """
        config = self.config
        if config.by != (CLUSTER,) or config.weights_path or config.mean not in (None, self.signal):
            raise InfeasibleError(
                f"{config.name}: compared are quotas of concepts alone, by: {CLUSTER}, equal, by size, or by the mean "
                "of the signal that is their score too"
            )
        sizes = np.bincount(pool.cluster, minlength=len(pool.centroids)).astype(np.int64)
        capacity = group_quotas.capacities(sizes, config.cap, config.most)
        try:
            quota = group_quotas.quotas(self._weight(pool, sizes), capacity, count)
        except group_quotas.InfeasibleQuotas as error:
            raise InfeasibleError(f"{config.name}: {error}") from None
        if config.score is None:
            key = order.hashed(pool.uid, self.seed, "quotas")
        else:
            key = order.descending(pool.signal if config.best == "highest" else -pool.signal)
        chosen: Mask = ranks.within(pool.cluster, key, pool.uid) <= quota[pool.cluster]
        return chosen

    def _weight(self, pool: Pool, sizes: Int64Array) -> Float64Array:
        """Each concept's weight.

        Raises:
            InfeasibleError: a mean below 0.
        """
        config = self.config
        if config.weights == "equal":
            return np.ones(len(sizes))
        weight = sizes.astype(np.float64)
        if config.mean is not None:
            sums = np.bincount(pool.cluster, weights=pool.signal, minlength=len(sizes))
            weight = sums / np.maximum(sizes, 1)
            if config.least is not None:
                weight[~reaches(weight, config.least)] = 0.0
            if weight.min() < 0:
                raise InfeasibleError(f"{config.name}: a concept has a mean of {weight.min():g}")
        return weight**config.power
