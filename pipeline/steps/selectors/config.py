"""Settings that all selectors share: the share or number of samples to keep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field

from tamis.pipeline.steps.shared.config import nothing_reaches
from tamis.schemas.errors import JobError
from tamis.schemas.step import Share, StepModel, Width

NOT_CHOSEN = "not_chosen"
LEFT_OUT = {NOT_CHOSEN: "the selector chose others"}
"""The reason of a selector that declares no other."""

LARGE = 1_000_000
"""Samples from which on it may pay to keep the farthest from centroids. Below, where it was measured, it harmed."""


def _share_or_count(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and value > 1:
        return int(value)
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    share = isinstance(value, float) and 0 < value <= 1
    if not count and not share:
        raise ValueError(
            f"keep is {value}: a share in (0, 1], written with a point (1.0), or a count of at least 1"
        )
    return value


Count = Annotated[int, Field(ge=1)]
Keep = Annotated[
    int | float, BeforeValidator(_share_or_count, json_schema_input_type=Share | Count)
]


def count_of(keep: float, whole: int) -> int:
    """The number of samples to keep: the count, or the share of ``whole`` as written in decimal, rounded down."""
    return keep if isinstance(keep, int) else math.floor(whole * Fraction(repr(keep)))


class Amount(BaseModel):
    """The first keys of a selector's settings."""

    keep: Keep = Field(
        examples=[0.4],
        description="a share above 0, to 1, written with a point (1.0 is all), or a count of samples",
    )
    of: Literal["reaching", "input"] = Field(
        "reaching",
        description="a share of what is reaching the step, or of all input samples",
    )


class Chooser(StepModel, Amount):
    """Settings of a selector."""

    selects: ClassVar[bool] = True

    @property
    def kept_count(self) -> int | None:
        """The number of samples to keep; None if the job gives a share."""
        return self.keep if isinstance(self.keep, int) else None

    def whole(self, reaching: int, total: int) -> int:
        """The number of samples that a share is of: those that reach the step, or all of the input."""
        return reaching if self.of == "reaching" else total

    def budget(self, reaching: int, total: int, candidates: int | None = None) -> int:
        """The number of samples to keep, out of ``candidates``, by default all that reach the step.

        Raises:
            JobError: the number exceeds the candidates, or no sample reaches the step.
        """
        if not reaching:
            raise nothing_reaches(self.name)
        wanted = count_of(self.keep, self.whole(reaching, total))
        if wanted > (reaching if candidates is None else candidates):
            less = "" if candidates is None else f", and only {candidates:,} of them can be chosen"
            raise JobError(
                f"{self.name}: keep {self.keep:,} asks for {wanted:,} samples, but only {reaching:,} reach the step"
                f"{less}: keep fewer, or drop less before it"
            )
        return wanted

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """A warning about a count of 1, which may be meant as a share."""
        yield from super().notes(samples, width)
        if self.kept_count == 1:
            yield "keep: 1 is a count of one sample; all of them is 1.0"

    def scaled(self, share: float) -> Self:
        """The settings for a share of the samples: a count in proportion."""
        scaled = super().scaled(share)
        if scaled.kept_count is None:
            return scaled
        return scaled.model_copy(update={"keep": max(1, round(scaled.kept_count * share))})
