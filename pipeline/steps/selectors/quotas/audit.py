"""Answers of `quotas` about a finished run: the budget that would have reached a sample, or the least mean."""

from __future__ import annotations

import math

from tamis.pipeline.steps.selectors.quotas.config import LOW_MEAN
from tamis.pipeline.steps.selectors.quotas.config import Quotas as Config
from tamis.pipeline.steps.shared.audit import Finished, Mend, Row, StepAudit, mend

SHARES = 10_000
"""Shares are rounded up to a multiple of 1 / SHARES."""


class Quotas(StepAudit[Config]):
    """Answers by the stored sizes and weights of groups."""

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """The least budget at which the group's real-valued quota reaches the sample's rank; of one level of groups.

        Of a group that falls by its mean, that mean, unless the budget would then be shared out anew.
        """
        config = self.config
        if row["reason"] == LOW_MEAN:
            if config.keep is not None or config.cap < 1 or config.most is not None:
                return []
            return [mend(f"{self.name}.weights.least", "<=", row["value"])]
        groups = run.quotas(self.name) if len(self.config.by) == 1 and self.config.keep else None
        if groups is None or row["value"] is None:
            return []
        import numpy as np

        from tamis.pipeline.algorithms.choosing.group_quotas import smallest_total
        from tamis.pipeline.tables.columns import numbers

        weight = np.asarray(numbers(groups["weight"]), np.float64)
        capacity, size = (
            np.asarray(numbers(groups[name]), np.int64) for name in ("capacity", "size")
        )
        number = groups["group"].to_pylist().index(row["message"])
        samples = smallest_total(weight, capacity, number, int(row["value"]))
        if samples is None:
            return []
        whole = self.config.whole(int(size.sum()), run.rows_in)
        share = math.ceil(samples * SHARES / whole) / SHARES
        return [mend(f"{self.name}.keep", ">=", share, samples=samples)]
