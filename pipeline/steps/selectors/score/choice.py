"""The choice of `score` in memory."""

from __future__ import annotations

from tamis.pipeline.algorithms.choosing import score
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.score.config import Score as Config


class Score(StepChoice[Config]):
    """A choice of the best samples by a signal, of exactly the count."""

    @classmethod
    def default(cls, similarity: str) -> Config:
        """Settings that keep the most similar pairs."""
        return Config(signal=similarity, keep=1.0)

    @property
    def signal(self) -> str:
        """The signal of the settings."""
        return self.config.signal

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the best samples; of equal values those with the smaller uids."""
        values = -pool.signal if self.config.best == "lowest" else pool.signal
        return score.top(values, pool.uid, count)
