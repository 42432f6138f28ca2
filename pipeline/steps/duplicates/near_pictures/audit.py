"""Answers of `near_pictures` about a finished run, by its stored edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.steps.duplicates.audit import EdgeAudit
from tamis.pipeline.steps.duplicates.config import Cut
from tamis.pipeline.steps.duplicates.near_pictures.config import DETAIL
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config

if TYPE_CHECKING:
    from tamis.pipeline.tasks.step import Context


class NearPictures(EdgeAudit[Config]):
    """Bits, difference and detail of every pair are stored."""

    def saving(self) -> tuple[Cut, ...]:
        """Fewer bits; where the hashes are equal, a smaller difference; where the layouts are, a smaller detail."""
        cuts = Cut("hamming", "bits", larger=False), Cut("difference", "difference", larger=False)
        return cuts if self.config.detail is None else (*cuts, DETAIL)

    def lacks(self, context: Context, before: Config) -> str:
        """Whether details were compared cannot be told apart by a bound."""
        if self.config.detail is None and before.detail is not None:
            return "the run compared details, and left out the pairs that differ in them"
        if self.config.detail is not None and before.detail is None:
            return "the run did not compare details"
        return super().lacks(context, before)
