"""Growth of the tasks of steps that cluster an embedding: with rows, concepts K and dimensions d.

- assignment (``assign``, ``sums-*``): 2 x rows x K x d;
- training (``train``, or ``start``): 2 x sample x K x d x iterations, where the k-means sample is
  ``min(alive, K x points_per_centroid)``, cut to ``sample_bytes``;
- pairs inside clusters (``pairs``): alive^2 / K x d, if all clusters are equal.
"""

from __future__ import annotations

import math
from typing import TypeVar

from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.growth import StepGrowth

Config = TypeVar("Config", bound=Clustered)


class ClusteredGrowth(StepGrowth[Config]):
    """Growth of a step whose settings are ``Clustered``."""

    @property
    def multiplies_on_gpu(self) -> bool:
        """True with ``device: cuda``."""
        return self.config.device == "cuda"

    @property
    def concepts(self) -> int:
        """The number of concepts."""
        return self.config.concepts(int(self.alive), self.dim)

    def trained_rows(self, phase: str) -> float | None:
        """Rows of the k-means sample."""
        if phase not in {"train", "start"}:
            return None
        wanted = kmeans.sample_size(self.concepts, int(self.alive), self.config.points_per_centroid)
        return float(min(wanted, self.config.sample_bytes // (4 * max(1, self.dim))))

    def flop(self, phase: str, rows: float) -> float:
        """Floating-point operations by the formulas of the module."""
        if not self.dim:
            return 0.0
        if phase == "assign" or phase.startswith("sums-"):
            return 2.0 * rows * self.concepts * self.dim
        trains = "start" if self.config.full_iterations else "train"
        if phase == trains and self.config.centroids is None:
            sample = self.trained_rows(phase) or 0.0
            return 2.0 * sample * self.concepts * self.dim * self.config.iterations
        if phase == "pairs":
            return self.alive * self.alive / self.concepts * self.dim
        return 0.0

    def groups(self, phase: str) -> int | None:
        """Tasks of ``sums-*``, each of so many parts that its sums are small beside them."""
        if not phase.startswith("sums-"):
            return None
        return bucket_counts.of_parts(math.ceil(self.rows), self.job.part_samples, self.concepts)
