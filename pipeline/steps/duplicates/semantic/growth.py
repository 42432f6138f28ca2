"""Growth of the tasks of `semantic_duplicates`: that of clustering, and of the pairs inside clusters."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates as Config
from tamis.pipeline.steps.shared import bucket_counts


class SemanticDuplicates(ClusteredGrowth[Config]):
    """The growth of clustering, and of buckets of embeddings by cluster."""

    def buckets(self, phase: str, rows: int) -> int:
        """Buckets by the bytes of the embeddings."""
        del phase, rows
        return bucket_counts.of_clusters(int(self.alive), self.dim, self.concepts)
