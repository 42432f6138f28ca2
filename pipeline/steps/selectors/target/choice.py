"""The choice of `target` in memory."""

from __future__ import annotations

import numpy as np

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import score
from tamis.pipeline.algorithms.shares import rounded_down
from tamis.pipeline.steps.selectors.choice import Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.target.config import LOT
from tamis.pipeline.steps.selectors.target.config import Target as Config


class Target(StepChoice[Config]):
    """A choice of what is most like the target, of exactly the count, by the values that the run has stored."""

    @classmethod
    def default(cls, similarity: str) -> None:
        """None: only a run with such a step knows a target."""
        del similarity

    @property
    def signal(self) -> str:
        """The stored values."""
        return self.config.name

    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the floor, chosen by lot, and the samples most like the target among the others."""
        floor = rounded_down(self.config.floor, count)
        lot = order.hashed(pool.uid, self.seed, LOT)
        chosen = order.row_mask(order.smallest(lot, pool.uid, floor), len(pool.uid))
        others = np.flatnonzero(~chosen)
        values = pool.signal[others] * (-1 if self.config.measure == "frechet" else 1)
        chosen[others] = score.top(values, pool.uid[others], count - floor)
        return chosen
