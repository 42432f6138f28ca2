"""The settings of `score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser, Keep
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.model import Model
from tamis.schemas.step import BY_RULE, Reasons, Share


class Threshold(Model, defer_build=True):
    """A threshold that is found among the values of all input samples, whatever became of them."""

    share: Share = Field(
        description="of the n input samples in order, those without a value last, the value at place int(n * share) is "
        "the threshold"
    )
    over: Literal["input"] = Field(
        "input", description="the samples that are counted: input, all of them"
    )


class Score(Chooser):
    """Keep the best of a signal."""

    kind = "score"
    reasons: ClassVar[Reasons] = {**LEFT_OUT, **MISSING}
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE}
    instead = {"threshold": "keep"}  # noqa: RUF012 - nobody adds to it
    keep: Keep | None = Field(  # type: ignore[assignment]  # the one selector that can do without
        None,
        examples=[0.4],
        description="a share above 0, to 1, written with a point (1.0 is all), or a count of samples; needed, unless "
        "there is a `threshold`",
    )
    signal: str = Field(
        examples=["clip_similarity"],
        description="a signal, such as clip_similarity, or a column of the input",
    )
    best: Literal["highest", "lowest"] = Field("highest", description="which values are kept first")

    @property
    def kept_by(self) -> tuple[str, Literal["highest", "lowest"]]:
        """Its signal."""
        return self.signal, self.best

    ties: Literal["uid", "keep"] = Field(
        "uid",
        description="of equal values: uid, the smallest, to the exact count; or keep, all of them (DataComp's rule: "
        "everything from the value at place share * samples on)",
    )
    threshold: Threshold | None = Field(
        None,
        examples=[{"share": 0.3, "over": "input"}],
        description="instead of `keep`: of all input samples in order, those without a value last, the value at place "
        "int(share * samples) decides; it and its equals pass (DataComp's rule). The signal is made before anything "
        "drops samples",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.keep is None) == (self.threshold is None):
            raise ValueError(
                "needs `keep` or `threshold`, and not both: `keep: 0.3` is a number of samples, "
                "`threshold: {share: 0.3}` a value found over the whole input"
            )
        if self.threshold is not None and (self.of, self.ties) != ("reaching", "uid"):
            raise ValueError("`of` and `ties` belong to `keep`: with `threshold` leave them out")
        return self

    def made_late(self, steps: Sequence[Any]) -> tuple[str, str] | None:
        """The step that makes the signal, and an earlier one that drops samples; None where none does.

        ``steps`` are the job's.
        """
        dropping = None
        for step in steps:
            similarity = step.similarity(steps)
            made = {*step.computes, step.name, *(similarity or ())[:1]}
            if self.signal in made:
                return None if dropping is None else (step.name, dropping)
            # What ingest and `embed` drop cannot be used, and would have no value anywhere.
            if dropping is None and step.reasons and not step.makes_embedding:
                dropping = step.name
        return None
