"""The settings of `near_pictures`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tamis.pipeline.steps.duplicates.config import Preferring
from tamis.schemas.step import Reasons, Share

NEAR_PICTURE = "near_picture"


class NearPictures(Preferring):
    """Drop samples whose pictures are nearly the same, by hash and layout, whatever their captions. Needs no model."""

    kind = "near_pictures"
    reasons: ClassVar[Reasons] = {
        NEAR_PICTURE: "another sample's picture has nearly the same perceptual hash and layout"
    }
    likeness = "bits apart"
    hamming: int = Field(
        4, ge=0, le=16, description="bits in which two 64-bit perceptual hashes may differ"
    )
    difference: Share = Field(
        0.11,
        description="how far the pictures' layouts may differ, as a share of their contrast: what the hash proposes, "
        "this decides",
    )
    group: Literal["leader", "chain"] = Field(
        "leader",
        description="leader: a sample falls only for a kept one that it is alike to itself; chain: one of each "
        "connected component is kept",
    )

    @property
    def joins_by_picture(self) -> bool:
        """True."""
        return True
