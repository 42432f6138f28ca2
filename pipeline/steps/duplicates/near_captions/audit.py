"""Answers of `near_duplicates` about a finished run, by its stored edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.steps.duplicates.audit import EdgeAudit, other_details
from tamis.pipeline.steps.duplicates.config import Cut
from tamis.pipeline.steps.duplicates.near_captions.config import NearDuplicates as Config

if TYPE_CHECKING:
    from tamis.pipeline.tasks.step import Context


class NearDuplicates(EdgeAudit[Config]):
    """The Jaccard similarity of every pair is stored."""

    def saving(self) -> tuple[Cut, ...]:
        """A larger similarity."""
        return (Cut("jaccard", "jaccard", larger=True),)

    def lacks(self, context: Context, before: Config) -> str:
        """Whether details were compared cannot be told apart by a bound."""
        now, then = (config.detail_bound(context.job) for config in (self.config, before))
        return other_details(now, then) or super().lacks(context, before)
