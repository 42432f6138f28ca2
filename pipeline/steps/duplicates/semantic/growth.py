"""How the tasks of `semantic_duplicates` grow: as clustering does, and with the pairs inside clusters."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates as Config
from tamis.pipeline.steps.shared import bucket_counts


class SemanticDuplicates(ClusteredGrowth[Config]):
    """Embeddings lie in buckets by their clusters."""

    def buckets(self, phase: str, rows: int) -> int:
        """By the bytes of the embeddings."""
        del phase, rows
        return bucket_counts.of_clusters(int(self.alive), self.dim, self.concepts)
