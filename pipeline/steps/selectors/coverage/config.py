"""The settings of `coverage`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.step import BY_RULE, Reasons


class Coverage(Chooser):
    """Coverage-centric selection (Zheng et al. 2023): the hardest are dropped, the range of the rest is covered."""

    kind = "coverage"
    reasons: ClassVar[Reasons] = {**LEFT_OUT, **MISSING}
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE}
    score: str = Field(examples=["blur"], description="the signal that says how hard a sample is")
    hard: Literal["high", "low"] = Field(
        "high", description="whether a high score is hard (EL2N), or a low one (AUM)"
    )
    beta: float = Field(0.0, ge=0, lt=1, description="share of the hardest, dropped first")
    strata: int = Field(
        50, ge=1, le=10_000, description="intervals of equal width that the scores are cut into"
    )
