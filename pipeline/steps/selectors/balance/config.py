"""The settings of `balance`."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from tamis.schemas.step import Change, Reasons, StepModel

FREQUENT = "frequent_concepts"
WITHOUT_CONCEPT = "without_concept"


class Balance(StepModel):
    """Balance over concepts (MetaCLIP, Xu et al. 2024): of those that many captions have, a lot keeps a part."""

    kind = "balance"
    reasons: ClassVar[Reasons] = {
        FREQUENT: "many captions have its concepts, and the lot fell for others",
        WITHOUT_CONCEPT: "its caption has none of the listed concepts",
    }
    path: str = Field(
        alias="list",
        min_length=1,
        examples=["lists/concepts.txt"],
        description="a text file of one concept a line, a word or several: `apple tree`",
    )
    most: int = Field(
        20_000,
        ge=1,
        description="captions of one concept that are all kept; of more, about so many are",
    )
    unmatched: Literal["drop", "keep"] = Field(
        "drop", description="what becomes of a caption with none of the concepts"
    )

    def scaled(self, share: float) -> Self:
        """The settings for a share of the samples: ``most`` in proportion."""
        return self.model_copy(update={"most": max(1, round(self.most * share))})

    def with_paths(self, change: Change) -> Self:
        """The list's path changed."""
        return self.model_copy(update={"path": change(self.path)})
