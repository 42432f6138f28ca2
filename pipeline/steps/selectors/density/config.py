"""The settings of `density`."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.selectors.config import Chooser
from tamis.schemas.step import Reasons

OVER_QUOTA = "over_quota"


class Density(Clustered, Chooser):
    """Density-based pruning: a quota a concept from its complexity, the farthest from the centroid kept."""

    kind = "density"
    reasons: ClassVar[Reasons] = {
        OVER_QUOTA: "its concept's quota was filled by samples farther from the centroid"
    }
    cutting = ("keep", "of", "temperature", "neighbours", "balance", "which")
    measures = ("d_intra", "d_inter", "complexity")
    iterations: int = Field(100, ge=1, le=1000, description="k-means iterations over the sample")
    temperature: float = Field(
        0.1, gt=0, description="of the softmax over complexities; lower sets concepts further apart"
    )
    neighbours: int = Field(
        20,
        ge=1,
        description="nearest other centroids that d_inter averages; fewer than there are clusters",
    )
    balance: float = Field(
        0.0, ge=0, le=1, description="share of an equal split that every concept gets for certain"
    )
    which: Literal["hard", "easy", "random"] = Field(
        "hard",
        description="kept first: hard (farthest from the centroid), easy (nearest) or random (by hash)",
    )

    def scaled(self, share: float) -> Self:
        """The settings for a share of the samples: of fewer concepts no more neighbours than each has."""
        scaled = super().scaled(share)
        if scaled.clusters == "auto" or scaled.centroids is not None:
            return scaled
        most = max(1, scaled.clusters - 1)
        return scaled.model_copy(update={"neighbours": min(scaled.neighbours, most)})
