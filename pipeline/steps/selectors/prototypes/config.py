"""The settings of `prototypes`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tamis.pipeline.steps.concepts.config import Sided
from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.schemas.step import Reasons


class Prototypes(Sided, Chooser):
    """Self-supervised prototypes (Sorscher et al. 2022): what lies farthest from its nearest centroid is kept."""

    kind = "prototypes"
    reasons: ClassVar[Reasons] = LEFT_OUT
    floor: float = Field(
        0.0, ge=0, le=1, description="share of an equal split that every cluster gets for certain"
    )
