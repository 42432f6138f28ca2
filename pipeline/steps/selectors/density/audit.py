"""Answers of `density` about a finished run: a sample's rank and its concept's quota, under this and other budgets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tamis.pipeline.steps.selectors.config import count_of
from tamis.pipeline.steps.selectors.density.config import Density as Config
from tamis.pipeline.steps.shared.audit import Finished, Mend, Row, StepAudit, Verdict, mend
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.phase import VERDICT
from tamis.schemas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.pipeline.steps.shared.again import Again

SHARES = 10**6
"""Shares are rounded to a multiple of 1 / SHARES."""


class Density(StepAudit[Config]):
    """Answers by the stored sizes and complexities of concepts, and the stored distances of samples."""

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """The least budget at which the concept's real-valued quota reaches the sample's rank."""
        config = self.config
        concepts = (
            run.quotas(self.name) if config.balance == 0 and row["rank"] is not None else None
        )
        if concepts is None:
            return []
        import numpy as np

        from tamis.pipeline.algorithms.choosing.density import smallest_total
        from tamis.pipeline.tables.columns import numbers

        sizes = np.asarray(numbers(concepts["size"]), np.int64)
        complexity = np.asarray(numbers(concepts["complexity"]), np.float64)
        samples = smallest_total(complexity, sizes, row["cluster"], row["rank"], config.temperature)
        whole = config.whole(int(sizes.sum()), run.rows_in)
        share = math.ceil(samples * 10_000 / whole) / 10_000
        return [mend(f"{self.name}.keep", ">=", share, samples=samples, by_lot=config.by_lot)]

    def would_drop(self, run: Finished, row: Row, missing: set[str]) -> Verdict:
        """The verdict on a sample that has a place in this step's concepts; open for any other."""
        del missing
        if self.name not in run.placing[-1:] or row["cluster"] is None:
            return Verdict(None)
        return Verdict(self._is_beyond_quota(run, row))

    def _is_beyond_quota(self, run: Finished, row: Row) -> bool | None:
        """True if the sample ranks behind the last one that its concept keeps; None where its tables do not tell."""
        concepts = run.quotas(self.name)
        if concepts is None:
            return None
        if not concepts["quota"][row["cluster"]].as_py():
            return True
        last = self._last_kept(run, row["cluster"])
        if last is None:
            return None
        import numpy as np

        from tamis.pipeline.algorithms import order
        from tamis.pipeline.algorithms.choosing import ranks

        distance = np.array([row["distance"], last["distance"]], np.float32)
        uid = order.parse([row["uid"], last["uid"]])
        own, other = ranks.keys(distance, uid, self.config.which, run.seed).tolist()
        return bool((own, row["uid"]) > (other, last["uid"]))

    def _last_kept(self, run: Finished, cluster: int) -> Row | None:
        """The last sample that a concept keeps, which the verdict on that sample's part has noted."""
        from tamis.pipeline.tasks.phase_index import read_index

        files = read_index(run.root, paths.folder(self.name, VERDICT))
        for notes in files.all_notes() if files else ():
            for concept, sid in notes.get("last", ()):
                if concept == cluster and isinstance(
                    sid, int
                ):  # earlier versions noted its distance
                    return run.rows([sid])[0]
        return None

    def keep_range(self, concepts: pa.Table, rows_in: int) -> dict[str, Any]:
        """The value of ``keep``, and the range that the bounds on all quotas allow."""
        from tamis.pipeline.algorithms.choosing.density import lower_bounds

        keep, sizes = self.config.keep, concepts["size"].to_numpy()
        # A balance divides the budget itself: it can always be met.
        least = 1 if self.config.balance else max(1, int(lower_bounds(sizes, 0).sum()))
        most = int(sizes.sum())
        if isinstance(keep, int):
            return {"value": keep, "kind": "count", "low": least, "high": most}
        whole = self.config.whole(most, rows_in)
        low = math.ceil(least / whole * SHARES) / SHARES
        high = min(1.0, math.floor(most / whole * SHARES) / SHARES)
        return {"value": keep, "kind": "share", "low": min(low, keep), "high": max(high, keep)}

    def quotas_with(self, concepts: pa.Table, rows_in: int, keep: float) -> npt.NDArray[np.int64]:
        """The exact quotas under another ``keep``, which is a share or a count as in the job.

        Raises:
            InputError: it is neither, or the concepts cannot meet that budget.
        """
        from tamis.pipeline.algorithms.choosing.density import InfeasibleBudget, quotas

        config = self.config
        counted = isinstance(config.keep, int)
        if counted and not float(keep).is_integer():
            raise InputError(f"keep is {keep}: a count of samples, as in the job")
        if not counted and not 0 < keep <= 1:
            raise InputError(f"keep is {keep}: a share in (0, 1]")
        asked: int | float = int(keep) if counted else float(keep)
        sizes, complexity = concepts["size"].to_numpy(), concepts["complexity"].to_numpy()
        total = count_of(asked, config.whole(int(sizes.sum()), rows_in))
        try:
            return quotas(complexity, sizes, total, config.temperature, config.balance)
        except InfeasibleBudget as error:
            raise InputError(str(error)) from None

    def decide_again(self, again: Again) -> Iterable[Counter[str]]:
        """Two passes over all chunks: sums, then the samples beyond the quotas."""
        from tamis.pipeline.steps.selectors.density.again import Choice

        return [Choice(again, self.config).decide()]
