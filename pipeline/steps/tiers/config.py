"""The settings of `tiers`."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from tamis.schemas.step import StepModel


class Tiers(StepModel):
    """Name the ranges of a signal, as a signal of text under the step's name; drops nothing."""

    kind = "tiers"
    signal: str = Field(examples=["clip_similarity"], description="the signal that is divided")
    cuts: tuple[float, ...] = Field(
        min_length=1,
        examples=[[0.2, 0.3]],
        description="where it is divided, ascending; a value at a cut belongs to the tier above",
    )
    names: tuple[str, ...] = Field(
        min_length=2,
        examples=[["noisy", "middle", "clean"]],
        description="of the tiers, the lowest first, one more than there are cuts",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.names) != len(self.cuts) + 1:
            raise ValueError(
                f"{len(self.cuts)} cuts make {len(self.cuts) + 1} tiers, and there are {len(self.names)} names: "
                "give one name more than cuts"
            )
        if any(low >= high for low, high in pairwise(self.cuts)):
            raise ValueError(f"cuts are {list(self.cuts)}: give them ascending")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"names are {list(self.names)}: give each tier a name of its own")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of tiers, under the step's name."""
        return (self.name,)

    @property
    def tiers(self) -> tuple[str, ...]:
        """The names."""
        return self.names
