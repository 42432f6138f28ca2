"""The choice of `prototypes` in memory."""

from __future__ import annotations

from tamis.pipeline.algorithms.choosing import prototypes
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.prototypes.config import Prototypes as Config


class Prototypes(StepChoice[Config]):
    """A choice of the samples farthest from their centroids."""

    @classmethod
    def default(cls, similarity: str) -> Config:
        """The defaults of a job, which need no signal."""
        del similarity
        return Config(keep=1.0)

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the chosen samples, among them the floor of each cluster."""
        clusters, floor = len(pool.centroids), self.config.floor
        return prototypes.select(pool.cluster, pool.distance, pool.uid, count, clusters, floor)
