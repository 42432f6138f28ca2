"""Growth of the tasks of `near_pictures`."""

from __future__ import annotations

from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.growth import StepGrowth


class NearPictures(StepGrowth[Config]):
    """Samples lie in buckets by their perceptual hashes."""

    def buckets(self, phase: str, rows: int) -> int:
        """By the number of hashes."""
        del phase, rows
        return bucket_counts.of_hashes(int(self.alive))
