"""The settings of `near_pictures`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tamis.schemas.step import Reasons, StepModel

NEAR_PICTURE = "near_picture"


class NearPictures(StepModel):
    """Drop samples whose pictures have nearly the same perceptual hash, whatever their captions. Needs no model."""

    kind = "near_pictures"
    reasons: ClassVar[Reasons] = {
        NEAR_PICTURE: "another sample's picture has nearly the same perceptual hash"
    }
    likeness = "bits apart"
    hamming: int = Field(
        4, ge=0, le=16, description="bits in which two 64-bit perceptual hashes may differ"
    )
    prefer: Literal["uid", "larger"] = Field(
        "uid", description="who survives: uid, the smallest; or larger, the most pixels first"
    )
