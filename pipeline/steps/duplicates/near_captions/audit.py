"""Answers of `near_duplicates` about a finished run, by its stored edges."""

from __future__ import annotations

from tamis.pipeline.steps.duplicates.audit import EdgeAudit
from tamis.pipeline.steps.duplicates.config import Cut
from tamis.pipeline.steps.duplicates.near_captions.config import NearDuplicates as Config


class NearDuplicates(EdgeAudit[Config]):
    """The Jaccard similarity of every pair is stored."""

    def saving(self) -> tuple[Cut, ...]:
        """A larger similarity."""
        return (Cut("jaccard", "jaccard", larger=True),)
