"""The settings of a selector that is not the product's own, written by the recipe in CONTRIBUTING.md."""

from __future__ import annotations

from typing import ClassVar

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.schemas.step import Reasons


class Lottery(Chooser):
    """Keep what draws the smallest lots."""

    kind = "lottery"
    reasons: ClassVar[Reasons] = LEFT_OUT
