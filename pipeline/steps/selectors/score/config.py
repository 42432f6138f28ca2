"""The settings of `score`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.step import BY_RULE, Reasons


class Score(Chooser):
    """Keep the best of a signal."""

    kind = "score"
    reasons: ClassVar[Reasons] = {**LEFT_OUT, **MISSING}
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE}
    signal: str = Field(
        examples=["clip_similarity"],
        description="a signal, such as clip_similarity, or a column of the input",
    )
    best: Literal["highest", "lowest"] = Field("highest", description="which values are kept first")
    ties: Literal["uid", "keep"] = Field(
        "uid",
        description="of equal values: uid, the smallest, to the exact count; or keep, all of them (DataComp's rule: "
        "everything from the value at place share * samples on)",
    )
