"""Growth of the tasks of `near_pictures`."""

from __future__ import annotations

from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.growth import StepGrowth


class NearPictures(StepGrowth[Config]):
    """Samples lie in buckets by their perceptual hashes, and pairs of them by both."""

    def buckets(self, phase: str, rows: int) -> int:
        """By the number of hashes, or of pairs."""
        if phase in ("ends", "seen"):
            return bucket_counts.of_pairs(rows)
        return bucket_counts.of_hashes(int(self.alive))
