"""Answers of `quotas` about a finished run: the budget that would have reached a sample, or the least mean."""

from __future__ import annotations

from tamis.pipeline.steps.selectors.config import count_of
from tamis.pipeline.steps.selectors.quotas.config import LOW_MEAN
from tamis.pipeline.steps.selectors.quotas.config import Quotas as Config
from tamis.pipeline.steps.shared.audit import Finished, Mend, Row, StepAudit, mend

DIGITS = 4
"""Decimal digits to which shares are rounded up: more where so round a share asks for more than there is."""


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
        capacity = np.asarray(numbers(groups["capacity"]), np.int64)
        named = np.flatnonzero(np.array(groups["group"].to_pylist(), object) == row["message"])
        if (
            len(named) > 1
        ):  # names are cut where they are long, and then say no longer which group it is
            return []
        number = int(named[0])
        samples = smallest_total(weight, capacity, number, int(row["value"]))
        if samples is None:
            return []
        # A share is of all that reached the step: groups lack the samples without a value.
        whole = self.config.whole(run.entered(self.name), run.rows_in)
        share = _share(samples, whole, int(capacity.sum()))
        return [mend(f"{self.name}.keep", ">=", share, samples=samples)]


def _share(samples: int, whole: int, most: int) -> float:
    """The roundest share of ``whole`` that is at least so many samples, and not beyond the ``most`` there are."""
    for digits in range(DIGITS, 15):
        parts = int(10**digits)
        share = -(-samples * parts // whole) / parts
        if count_of(share, whole) <= most:
            break
    return share
