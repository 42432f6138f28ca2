"""The settings of `density`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field

from tamis.pipeline.steps.concepts.config import Sided
from tamis.pipeline.steps.selectors.config import LARGE, Chooser
from tamis.schemas.step import Reasons, Width

OVER_QUOTA = "over_quota"

FILLED_BY = {
    "hard": "samples farther from the centroid",
    "easy": "samples nearer to the centroid",
    "random": "samples whose lots were drawn before",
}
"""`which` -> the samples that a concept keeps first."""


class Density(Sided, Chooser):
    """Density-based pruning: a quota a concept from its complexity, filled by lot, or in the order of `which`."""

    kind = "density"
    reasons: ClassVar[Reasons] = {
        OVER_QUOTA: "its concept's quota was filled by samples that come before it"
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
        "random",
        description="kept first: random (by a hash of seed and uid), easy (nearest to the centroid), or hard "
        "(farthest), which is for large, clean pools and long training: on 90,158 icons it trained worse than random",
    )

    @property
    def by_lot(self) -> bool:
        """True with ``which: random``."""
        return self.which == "random"

    def meaning(self, reason: str) -> str | None:
        """By which samples the quota was filled."""
        if reason == OVER_QUOTA:
            return f"its concept's quota was filled by {FILLED_BY[self.which]}"
        return super().meaning(reason)

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The measured cost of the hardest samples, for a pool that is not known to be large."""
        yield from super().notes(samples, width)
        if self.which == "hard" and (samples is None or samples < LARGE):
            yield (
                f"which: hard is for large, clean pools (some {LARGE:,} samples, with a filter before it) and long "
                "training: of 90,158 icons a fifth chosen so trained 17% worse than a random fifth of the "
                "deduplicated, and worst of all where captions were exchanged; which: random is the default"
            )

    def scaled(self, share: float) -> Self:
        """With neighbours that fit the fewer concepts."""
        scaled = super().scaled(share)
        if scaled.clusters == "auto":  # as many fewer, since their number is not known
            return scaled.model_copy(update={"neighbours": max(1, round(self.neighbours * share))})
        clusters = scaled.clusters if scaled.centroids is not None else max(2, scaled.clusters)
        neighbours = min(self.neighbours, max(1, clusters - 1))
        return scaled.model_copy(update={"clusters": clusters, "neighbours": neighbours})
