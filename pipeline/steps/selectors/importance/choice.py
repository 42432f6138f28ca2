"""The choice of `importance` in memory."""

from __future__ import annotations

from tamis.pipeline.algorithms.choosing import importance, score
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.importance.config import Importance as Config


class Importance(StepChoice[Config]):
    """A draw by the log weights that the run has stored."""

    @classmethod
    def default(cls, similarity: str) -> None:
        """None: only a run with such a step knows a target."""
        del similarity

    @property
    def signal(self) -> str:
        """The stored log weights."""
        return self.config.name

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the samples of the largest weights with their noise."""
        return score.top(importance.perturbed(pool.signal, pool.uid, self.seed), pool.uid, count)
