"""How `coverage` chooses in memory."""

from __future__ import annotations

from tamis.pipeline.algorithms.choosing import coverage
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.coverage.config import Coverage as Config


class Coverage(StepChoice[Config]):
    """All strata of a signal but the hardest samples."""

    refuses = "the hardest (beta)"

    @classmethod
    def default(cls, similarity: str) -> Config:
        """Pairs that are hardly alike are hard."""
        return Config(score=similarity, hard="low", keep=1.0)

    @property
    def signal(self) -> str:
        """As the job says."""
        return self.config.score

    def most(self, samples: int) -> int:
        """All but the hardest."""
        return samples - coverage.hardest_count(samples, self.config.beta)

    def select(self, pool: Pool, count: int) -> Mask:
        """As the job says."""
        beta, hard, strata = self.config.beta, self.config.hard, self.config.strata
        return coverage.select(pool.signal, pool.uid, count, self.seed, beta, hard, strata)
