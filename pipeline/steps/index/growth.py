"""Growth of the tasks of `index`: that of clustering, and of the queries that are compared with all vectors."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.index.config import Index as Config
from tamis.pipeline.steps.index.config import lists_of


class Index(ClusteredGrowth[Config]):
    """The growth of clustering, and of ``neighbours``."""

    def flop(self, phase: str, rows: float) -> float:
        """Floating-point operations: each vector is compared with each query."""
        if phase == "neighbours":
            return 2.0 * rows * self.config.queries * self.dim
        return super().flop(phase, rows)

    def buckets(self, phase: str, rows: int) -> int:
        """The lists."""
        del phase, rows
        return lists_of(int(self.alive), self.dim, self.concepts)
