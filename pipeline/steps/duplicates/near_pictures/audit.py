"""Answers of `near_pictures` about a finished run, by its stored edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.steps.duplicates.audit import EdgeAudit, other_details
from tamis.pipeline.steps.duplicates.config import DETAIL, Cut
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
        return other_details(self.config.detail, before.detail) or super().lacks(context, before)
