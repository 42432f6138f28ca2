"""The settings of `exact_duplicates`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tamis.pipeline.steps.duplicates.config import Preferring
from tamis.schemas.step import Reasons

SAME_IMAGE = "same_image"
SAME_PIXELS = "same_pixels"
SAME_PAIR = "same_pair"
SAME_URL_AND_TEXT = "same_url_and_text"


class ExactDuplicates(Preferring):
    """Drop samples that equal another one."""

    kind = "exact_duplicates"
    reasons: ClassVar[Reasons] = {
        SAME_IMAGE: "another sample has the same picture, byte for byte",
        SAME_PIXELS: "another sample's picture decodes to the same pixels",
        SAME_PAIR: "another sample has the same picture and the same caption",
        SAME_URL_AND_TEXT: "another sample has the same URL and the same caption",
    }
    on: Literal["image", "pixels", "pair", "url_text"] = Field(
        "image",
        description="image: the same bytes; pixels: the same decoded pixels; "
        "pair: bytes and caption; url_text: URL and caption",
    )

    @property
    def reads_captions(self) -> bool:
        """True where captions are compared."""
        return self.on in {"pair", "url_text"}

    @property
    def joins_by_picture(self) -> bool:
        """True where the picture alone is compared."""
        return self.on in {"image", "pixels"}
