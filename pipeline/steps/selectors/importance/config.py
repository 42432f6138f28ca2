"""The settings of `importance`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.step import BY_RULE, Change, Reasons


class Importance(Chooser):
    """Importance resampling (DSIR, Xie et al. 2023): captions are drawn that look like a target's."""

    kind = "importance"
    reasons: ClassVar[Reasons] = {**LEFT_OUT, **MISSING}
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE}
    target: str = Field(
        examples=["data/target.txt"],
        description="captions to look like: a table (parquet, CSV, JSON lines), or a text file of one caption a line",
    )
    column: str | None = Field(
        None,
        examples=["text"],
        description="the table's column of captions; found by its usual names by default",
    )
    buckets: int = Field(
        10_000,
        ge=2,
        le=10_000_000,
        description="buckets that words and pairs of words are hashed to",
    )

    def idle(self) -> Mapping[str, str]:
        """The column of a text file."""
        return {"column": "a parquet file"} if self.target.lower().endswith(".txt") else {}

    @property
    def reads_captions(self) -> bool:
        """True."""
        return True

    @property
    def aims(self) -> tuple[str, ...]:
        """The target's captions."""
        return (self.target,)

    def with_paths(self, change: Change) -> Self:
        """The target's path changed."""
        return self.model_copy(update={"target": change(self.target)})
