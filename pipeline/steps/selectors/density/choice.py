"""The choice of `density` in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tamis.pipeline.algorithms.choosing import density, ranks
from tamis.pipeline.steps.selectors.choice import InfeasibleError, Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.density.config import Density as Config


class Density(StepChoice[Config]):
    """A choice by a quota for each concept."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        which: {"which": which} for which in ("hard", "random", "easy")
    }

    @classmethod
    def default(cls, similarity: str) -> Config:
        """The defaults of a job, which need no signal."""
        del similarity
        return Config(keep=1.0)

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the first samples of each concept, up to its quota."""
        config = self.config
        clusters = len(pool.centroids)
        sums, sizes = density.intra_sums(pool.cluster, np.float32(1) - pool.distance, clusters)
        neighbours = max(1, min(config.neighbours, clusters - 1))
        complexity = density.complexity(pool.centroids, density.intra(sums, sizes), neighbours)
        try:
            quota = density.quotas(complexity, sizes, count, config.temperature, config.balance)
        except density.InfeasibleBudget as error:
            raise InfeasibleError(str(error)) from None
        rank = ranks.ranks(pool.cluster, pool.distance, pool.uid, config.which, self.seed)
        chosen: Mask = rank <= quota[pool.cluster]
        return chosen
