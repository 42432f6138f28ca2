"""Growth of the tasks of `near_duplicates`."""

from __future__ import annotations

from tamis.pipeline.algorithms.near_captions.minhash import choose_bands
from tamis.pipeline.steps.duplicates.near_captions.config import NearDuplicates as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.growth import StepGrowth


class NearDuplicates(StepGrowth[Config]):
    """Captions lie in buckets by their text, by the keys of their bands, and by the groups that these make."""

    def buckets(self, phase: str, rows: int) -> int:
        """By what travels along with a caption."""
        config, alive = self.config, int(self.alive)
        vectors = config.agreement(self.job) == "embedding"
        if phase in ("ends", "seen"):
            return bucket_counts.of_pairs(rows)
        if phase == "alike":
            return bucket_counts.of_meetings(rows)
        if phase == "similar":
            return bucket_counts.of_candidates(rows, vectors)
        if phase == "shared":
            bands, _ = choose_bands(config.jaccard, config.permutations, config.recall)
            return bucket_counts.Bands.of(alive, bands).buckets
        return bucket_counts.of_captions(alive, vectors)
