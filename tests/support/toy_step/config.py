"""The settings of a step that is not the product's own, written by the recipe in CONTRIBUTING.md."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tamis.schemas.step import Reasons, StepModel

EVERY_NTH = "every_nth"


class EveryNth(StepModel):
    """Drop every n-th living sample of a part."""

    kind = "every_nth"
    reasons: ClassVar[Reasons] = {EVERY_NTH: "its number in the part is a multiple of n"}
    n: int = Field(2, ge=1, le=100, description="which of them")
    because: str = Field(EVERY_NTH, description="the reason that the ledger gets")
