"""The settings of `difficulty`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field

from tamis.schemas.step import StepModel, Width


class Difficulty(StepModel):
    """Difficulty of a pair among reference pairs, as a signal under the step's name; drops nothing."""

    kind = "difficulty"
    compares_samples: ClassVar[bool] = True
    measure: Literal["cliploss", "el2n"] = Field(
        "cliploss",
        description="cliploss (Wang et al. 2024): the pair's cosine less what its picture and its caption have with "
        "others, high for pairs that fit; el2n (Paul et al. 2021): how wrong a guess of the partner is, high for hard "
        "ones",
    )
    temperature: float = Field(
        0.01,
        gt=0,
        description="cosines are divided by this: the encoder's own, 0.01 of OpenAI's CLIP",
    )
    references: int = Field(
        4096,
        ge=2,
        le=1_000_000,
        description="pairs that each is compared with: those that reach the step and have the smallest hashes",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding, where there are two; by default the only one",
    )

    @property
    def scores(self) -> bool:
        """True: only what reaches the step has a value."""
        return True

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The memory that a worker needs for the references."""
        yield from super().notes(samples, width)
        dim = width(self.embedding)
        needed = (
            "d x 16 B"
            if dim is None
            else f"{dim:,} x 16 B: {self.references * dim * 16 / 1e6:,.0f} MB"
        )
        yield f"a worker holds {self.references:,} references x {needed}"
