"""The settings of `repeat`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

from pydantic import Field

from tamis.pipeline.steps.selectors.config import LEFT_OUT
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.step import BY_RULE, Reasons, StepModel, Width


class Repeat(StepModel):
    """Say how often each sample is seen, the better the oftener, as a signal under the step's name.

    Samples that are never seen are dropped. `write: {times: repeat}` then lists each uid so often.
    """

    kind = "repeat"
    compares_samples: ClassVar[bool] = True
    reasons: ClassVar[Reasons] = {**LEFT_OUT, **MISSING}
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE}
    signal: str = Field(
        examples=["clip_similarity"],
        description="a signal, such as clip_similarity, or a column of the input; high values are seen oftener",
    )
    total: int = Field(
        ge=1,
        examples=[1_280_000],
        description="samples seen in all, repetitions counted: that many uids stand in subset.npy",
    )
    penalty: float = Field(
        0.15,
        gt=0,
        le=100,
        description="what each time that a sample is taken costs its score: small ones let few samples be seen often",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        description="scores are values divided by this: 0.01 for cosines, 1 for what is a logit already",
    )
    most: int = Field(15, ge=1, le=1_000, description="times that a sample is seen, at most")

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """What the keys take on disk, and those that a worker sorts."""
        from tamis.pipeline.steps.selectors.budget_cut import KEY_BYTES, SORTED_ROWS

        yield from super().notes(samples, width)
        keys = "a key for each sample and for each of the copies that may be among the chosen"
        if samples is not None:
            stored = (samples + self.total) * KEY_BYTES / 1e9
            keys += f": about {samples + self.total:,} x {KEY_BYTES} B, {stored:,.1f} GB"
        yield f"tables/{self.name} has {keys}"
        yield f"a worker sorts at most {SORTED_ROWS:,} keys x {KEY_BYTES} B: {SORTED_ROWS * KEY_BYTES / 1e6:,.0f} MB"

    def scaled(self, share: float) -> Self:
        """The settings for a share of the samples: the total in proportion."""
        return self.model_copy(update={"total": max(1, round(self.total * share))})
