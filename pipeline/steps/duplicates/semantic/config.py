"""The settings of `semantic_duplicates`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.duplicates.config import BySignal
from tamis.pipeline.steps.shared.config import Epsilon
from tamis.schemas.step import Reasons

SEMANTIC_DUPLICATE = "semantic_duplicate"


class SemanticDuplicates(Clustered):
    """SemDeDup: inside a cluster, drop what is within epsilon of a sample earlier in order."""

    kind = "semantic_duplicates"
    reasons: ClassVar[Reasons] = {
        SEMANTIC_DUPLICATE: "a sample of its cluster, earlier in order, has nearly the same embedding"
    }
    compares_members = True
    likeness = "cosine"
    cutting = ("epsilon",)
    compares_samples = True
    epsilon: Epsilon = Field(
        0.07,
        description="dropped where the cosine to an earlier sample is above 1 - epsilon, as that of exact copies is",
    )
    which_to_keep: Literal["hard", "easy", "random"] | BySignal = Field(
        "hard",
        description="the order: hard (farthest from the centroid first), easy (nearest first), random (by hash), or "
        "{signal: NAME} (the largest value first)",
    )

    @property
    def signal(self) -> str:
        """The name of the stored signal: the cosine to the nearest sample earlier in order."""
        return "semantic_similarity" if self.name == self.kind else f"{self.name}_similarity"

    @property
    def preferred_signal(self) -> str | None:
        """The signal that decides; None where none does."""
        return self.which_to_keep.signal if isinstance(self.which_to_keep, BySignal) else None

    @property
    def order(self) -> Literal["hard", "easy", "random", "preference"]:
        """The preference as an argument of a task."""
        return "preference" if isinstance(self.which_to_keep, BySignal) else self.which_to_keep

    @property
    def joins_by_picture(self) -> bool:
        """True."""
        return True
