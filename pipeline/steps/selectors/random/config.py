"""The settings of `random`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.schemas.step import Reasons


class Random(Chooser):
    """A uniform choice; with `epochs` one for each, and their union is kept (RS2, Okanovic et al., ICLR 2024)."""

    kind = "random"
    reasons: ClassVar[Reasons] = LEFT_OUT
    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        examples=[10],
        description="choices, one uid list each: subsets/epoch-000.npy and so on; none by default",
    )
