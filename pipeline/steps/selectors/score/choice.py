"""How `score` chooses in memory."""

from __future__ import annotations

from tamis.pipeline.algorithms.choosing import score
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.score.config import Score as Config


class Score(StepChoice[Config]):
    """The best of a signal, to the exact count."""

    @classmethod
    def default(cls, similarity: str) -> Config:
        """The most alike."""
        return Config(signal=similarity, keep=1.0)

    @property
    def signal(self) -> str:
        """As the job says."""
        return self.config.signal

    def select(self, pool: Pool, count: int) -> Mask:
        """Of equal values the smaller uid."""
        values = -pool.signal if self.config.best == "lowest" else pool.signal
        return score.top(values, pool.uid, count)
