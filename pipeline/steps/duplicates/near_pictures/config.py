"""The settings of `near_pictures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from tamis.pipeline.steps.duplicates.config import DETAIL, ByEdges, Cut
from tamis.schemas.job import Job
from tamis.schemas.step import Reasons, Share

NEAR_PICTURE = "near_picture"


class NearPictures(ByEdges):
    """Drop samples whose pictures are nearly the same, by hash and layout, whatever their captions. Needs no model."""

    kind = "near_pictures"
    reasons: ClassVar[Reasons] = {
        NEAR_PICTURE: "another sample's picture has nearly the same perceptual hash and layout"
    }
    likeness = "bits apart"
    larger_is_alike = False
    cutting = ("hamming", "difference", "detail", "group")
    edge_phases = ("equal", "seen")
    hamming: int = Field(
        4, ge=0, le=16, description="bits in which two 64-bit perceptual hashes may differ"
    )
    difference: Share = Field(
        0.11,
        description="how far the pictures' layouts may differ, as a share of their contrast: what the hash proposes, "
        "this decides",
    )
    detail: Share | None = Field(
        0.18,
        description="how far a small cell of two pictures may differ that layouts find alike, which are opened again "
        "for it; null: they are not",
    )

    def cuts(self, job: Job) -> Sequence[Cut]:
        """Bits, difference, and detail where it counts."""
        del job
        layouts = (
            Cut("hamming", "bits", larger=False),
            Cut("difference", "difference", larger=False),
        )
        return layouts if self.detail is None else (*layouts, DETAIL)

    @property
    def looks(self) -> bool:
        """True if ``detail`` is to be compared."""
        return self.detail is not None

    @property
    def joins_by_picture(self) -> bool:
        """True."""
        return True
