"""The settings of `counts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from tamis.schemas.step import Share, StepModel

CAPTION, URL, DOMAIN, BOILERPLATE = "caption_count", "url_count", "domain_count", "boilerplate"
ODD_SIZE, ODD_ASPECT = "odd_size", "odd_aspect"

OF_CAPTIONS = frozenset({CAPTION, BOILERPLATE})
"""What is computed from captions."""
OF_URLS = frozenset({URL, DOMAIN})
OF_SHAPES = frozenset({ODD_SIZE, ODD_ASPECT})
"""What is computed from the sides of pictures."""

Count = Literal[
    "caption_count", "url_count", "domain_count", "boilerplate", "odd_size", "odd_aspect"
]


def _once(names: tuple[Count, ...]) -> tuple[Count, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`{name}` stands twice: leave one out")
    return names


class Counts(StepModel):
    """Compute, of all samples that reach the step, what only the whole pool tells about each; drops nothing.

    In short, without other settings: `counts: [caption_count, domain_count]`.
    """

    kind = "counts"
    listed = "names"
    compares_samples: ClassVar[bool] = True
    names: Annotated[tuple[Count, ...], AfterValidator(_once)] = Field(
        min_length=1,
        examples=[["caption_count", "domain_count", "boilerplate"]],
        description="caption_count, url_count, domain_count: how many samples have the same caption, URL, or host of "
        "the URL; boilerplate: the share of the caption's words that stand in frequent runs of words; odd_size, "
        "odd_aspect: how far the picture's size and shape are from most, in interquartile ranges",
    )
    words: int = Field(4, ge=2, le=20, description="boilerplate: words of a run")
    most: int = Field(
        1000, ge=1, le=100_000, description="boilerplate: frequent runs that are known, at most"
    )
    least: Share = Field(
        0.001,
        description="boilerplate: share of the different captions that have a frequent run, at least; and five of them",
    )
    sample: int = Field(
        200_000,
        ge=100,
        le=2_000_000,
        description="boilerplate: captions in which runs are counted, those of the smallest hashes",
    )

    def idle(self) -> Mapping[str, str]:
        """What boilerplate needs, where it is not computed."""
        if BOILERPLATE in self.names:
            return {}
        return dict.fromkeys(("words", "most", "least", "sample"), f"`{BOILERPLATE}`")

    @property
    def scores(self) -> bool:
        """True: only what reaches the step is counted."""
        return True

    @property
    def reads_captions(self) -> bool:
        """True where all is computed from captions."""
        return OF_CAPTIONS.issuperset(self.names)

    def signal(self, name: str) -> str:
        """The name of the signal: behind that of the step, where this is not its kind."""
        return name if self.name == self.kind else f"{self.name}_{name}"
