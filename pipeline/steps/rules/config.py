"""The settings of `rules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.model import Model
from tamis.schemas.step import BY_RULE, Reasons, StepModel

BELOW_MINIMUM = "below_minimum"
ABOVE_MAXIMUM = "above_maximum"
NOT_ALLOWED = "not_allowed"


def written(value: object) -> str:
    """A value as YAML users write it: numbers without a needless point, booleans as words."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class Bound(Model, defer_build=True):
    """The limits of a signal's value. They are inclusive; NaN and null count as missing."""

    min: float | Literal["auto"] | None = Field(
        None,
        description="the value must be at least this; auto, of a similarity that `embed` makes: the encoder's own",
    )
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
        if isinstance(self.min, float) and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        return self

    @property
    def least(self) -> float | None:
        """The number that the value must be at least, if there is one; `auto` is none any more in a checked job."""
        assert self.min != "auto", "Rules.settled has put a number in its place"
        return self.min

    @property
    def texts(self) -> tuple[str, ...]:
        """What may pass of `in`, as text."""
        return tuple(map(written, self.one_of or ()))


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

    @property
    def passing_texts(self) -> Mapping[str, tuple[str, ...]]:
        """Of the bounds with ``in`` what may pass."""
        return {signal: bound.texts for signal, bound in self.bounds.items() if bound.one_of}

    def settled(self, steps: Sequence[Any]) -> Self:
        """The bounds as numbers: `min: auto` is the bound of the encoder that makes the signal."""
        from tamis.pipeline.encoders.bounds import bound_of

        bounds = dict(self.bounds)
        encoders = dict(filter(None, (step.similarity(steps) for step in steps)))
        for signal, bound in self.bounds.items():
            if signal in encoders and isinstance(bound.min, float) and bound.min > 1:
                raise ValueError(
                    f"{self.name}: {signal}: min {bound.min:g} keeps nothing, since a cosine is 1 at most: write a "
                    f"number such as {bound.min / 100:g}, or keep a share: `- score: {{signal: {signal}, keep: 0.5}}`"
                )
            if bound.min == "auto":
                if signal not in encoders:
                    raise ValueError(
                        f"{self.name}: {signal}: min: auto is for the similarity of an `embed` step: write a number"
                    )
                least = bound_of(encoders[signal])
                if least is None:
                    raise ValueError(
                        f"{self.name}: {signal}: min: auto: the encoder `{encoders[signal]}` has no bound of its own: "
                        f"write a number, or keep a share: `- score: {{signal: {signal}, keep: 0.5}}`"
                    )
                bounds[signal] = bound.model_copy(update={"min": least})
        return self.model_copy(update={"bounds": bounds}) if bounds != self.bounds else self
