"""The choice of `importance` in memory."""

from __future__ import annotations

import numpy as np

from tamis.pipeline.algorithms.choosing import importance, score
from tamis.pipeline.steps.selectors.choice import InfeasibleError, Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.importance.config import Importance as Config
from tamis.pipeline.steps.selectors.importance.step import captions


class Importance(StepChoice[Config]):
    """A draw of captions that look like a target's; the pool's n-grams are those of what it chooses from."""

    @classmethod
    def default(cls, similarity: str) -> None:
        """None: only a job knows a target."""
        del similarity

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the largest log weights after each sample's own noise."""
        buckets = self.config.buckets
        target = np.zeros(buckets, np.int64)
        for texts in captions(self.config.target, self.config.column):
            target += importance.totals(importance.features(texts, buckets))
        own = importance.features([text or "" for text in pool.text.tolist()], buckets)
        try:
            ratio = importance.log_ratio(target, importance.totals(own))
        except ValueError as error:
            raise InfeasibleError(str(error)) from None
        noisy = importance.perturbed(importance.log_weights(own, ratio), pool.uid, self.seed)
        return score.top(noisy, pool.uid, count)
