"""Answers of `near_pictures` about a finished run, by its stored edges."""

from __future__ import annotations

from tamis.pipeline.steps.duplicates.audit import EdgeAudit
from tamis.pipeline.steps.duplicates.config import Cut
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config


class NearPictures(EdgeAudit[Config]):
    """Bits and difference of every pair are stored."""

    def saving(self) -> tuple[Cut, ...]:
        """Fewer bits; where the hashes are equal, a smaller difference."""
        return Cut("hamming", "bits", larger=False), Cut("difference", "difference", larger=False)
