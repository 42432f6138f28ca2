"""The choice of `coverage` in memory."""

from __future__ import annotations

from tamis.pipeline.algorithms.choosing import coverage
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.coverage.config import Coverage as Config


class Coverage(StepChoice[Config]):
    """A choice from all strata of a signal, without the hardest samples."""

    refuses = "the hardest (beta)"

    @classmethod
    def default(cls, similarity: str) -> Config:
        """Settings by which the least similar pairs are the hardest."""
        return Config(score=similarity, hard="low", keep=1.0)

    @property
    def signal(self) -> str:
        """The score of the settings."""
        return self.config.score

    def most(self, samples: int) -> int:
        """The number of all but the hardest samples."""
        return samples - coverage.hardest_count(samples, self.config.beta)

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the ``count`` chosen samples."""
        beta, hard, strata = self.config.beta, self.config.hard, self.config.strata
        return coverage.select(pool.signal, pool.uid, count, self.seed, beta, hard, strata)
