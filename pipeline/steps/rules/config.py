"""The settings of `rules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.model import Model
from tamis.schemas.step import BY_RULE, Reasons, StepModel

BELOW_MINIMUM = "below_minimum"
ABOVE_MAXIMUM = "above_maximum"
NOT_ALLOWED = "not_allowed"


class Bound(Model, defer_build=True):
    """The limits of a signal's value. They are inclusive; NaN and null count as missing."""

    min: float | None = Field(None, description="the value must be at least this")
    max: float | None = Field(None, description="the value must be at most this")
    one_of: tuple[str | bool | float, ...] | None = Field(
        None, alias="in", description="the value must be one of these: `language: {in: [en, de]}`"
    )
    missing: Literal["drop", "keep"] = Field(
        "drop", description="what becomes of a sample without a value"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Bound:
        if self.min is None and self.max is None and self.one_of is None:
            raise ValueError("a rule needs `min`, `max` or `in`")
        if self.one_of is not None and (self.min is not None or self.max is not None):
            raise ValueError("`in` cannot stand beside `min` or `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        return self


class Rules(StepModel):
    """Drop what fails a bound. All failing rules are recorded; the first of them, in this order, is the reason."""

    kind = "rules"
    reasons: ClassVar[Reasons] = {
        BELOW_MINIMUM: "the value is below the rule's minimum",
        ABOVE_MAXIMUM: "the value is above the rule's maximum",
        NOT_ALLOWED: "the value is not in the rule's list",
        **MISSING,
    }
    phrases: ClassVar[Mapping[str, str]] = {
        BELOW_MINIMUM: "{rule} < {bound}",
        ABOVE_MAXIMUM: "{rule} > {bound}",
        NOT_ALLOWED: BY_RULE,
        NO_VALUE: BY_RULE,
    }
    implied = "bounds"
    cutting = ("bounds",)
    bounds: dict[str, Bound] = Field(
        min_length=1,
        examples=[
            {
                "words": {"min": 2},
                "min_side": {"min": 64},
                "aspect_ratio": {"max": 3.0, "missing": "drop"},
            }
        ],
        description="signal -> bound",
    )
