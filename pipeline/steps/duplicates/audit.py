"""Answers of the steps that decide by stored edges: what a stricter bound drops, and which bound saves a sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from tamis.pipeline.steps.duplicates.config import EDGES, ByEdges, Cut
from tamis.pipeline.steps.shared.audit import Finished, Mend, Row, StepAudit, mend

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.pipeline.steps.shared.again import Again
    from tamis.pipeline.tasks.step import Context

Config = TypeVar("Config", bound=ByEdges)


class EdgeAudit(StepAudit[Config], Generic[Config]):
    """Answers from the edges, which hold every pair above the bound unless something is counted as unsearched."""

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """A bound above the sample's highest edge to any preferred to it: it suffices, and a lower one may do too.

        None where something is unsearched, or the sample equals a preferred one in all that is compared.
        """
        edges = run.edges_to_preferred(self.name, row["sid"])
        if edges is None or not edges.num_rows:
            return []
        for cut in self.saving():
            bound = _above(edges, cut)
            if bound is not None:
                relation = ">=" if cut.larger else "<="
                return [mend(f"{self.name}.{cut.setting}", relation, bound, sufficient=True)]
        return []

    def saving(self) -> tuple[Cut, ...]:
        """The settings of which one may save a sample, the first that can."""
        return ()

    def lacks(self, context: Context, before: Config) -> str:
        """The reason why the edges of a run with the settings ``before`` do not decide these; "" if they do."""
        for cut in self.config.cuts(context.job):
            new, old = getattr(self.config, cut.setting), getattr(before, cut.setting)
            if new < old if cut.larger else new > old:
                return f"{cut.setting} {new:g} is looser than the run's {old:g}"
        stored = [context.done(self.name, phase) for phase in self.config.edge_phases]
        unsearched = sum(done.total("unsearched") for done in stored)
        if unsearched:
            return f"{unsearched:,} samples have pairs that the run left unsearched"
        count = sum(done.rows for done in stored)
        if count > EDGES:
            return f"{count:,} edges are more than the {EDGES:,} that are decided in memory"
        return ""

    def decide_again(self, again: Again) -> Iterable[Counter[str]]:
        """Counts of dropped samples by reason."""
        from tamis.pipeline.steps.duplicates.again import decide

        return decide(again, self.config)


def other_details(now: float | None, before: float | None) -> str:
    """The reason why edges with or without a look at details do not decide for the other; "" if both are of a kind."""
    if now is None and before is not None:
        return "the run compared details, and left out the pairs that differ in them"
    if now is not None and before is None:
        return "the run did not compare details"
    return ""


def _above(edges: pa.Table, cut: Cut) -> float | None:
    """A value of the setting that none of the edges meets; None if there is none."""
    values = edges[cut.column].to_pylist()
    if cut.larger:
        bound = math.floor(max(values) * 1e6 + 1) / 1e6
        return bound if max(values) < bound <= 1 else None
    if cut.setting == "hamming":
        return int(min(values)) - 1 if min(values) >= 1 else None
    bound = math.ceil(min(values) * 1e6 - 1) / 1e6
    return bound if 0 < bound < min(values) else None
